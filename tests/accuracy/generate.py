"""Write the reference tables of this folder: ``python tests/accuracy/generate.py``.

Every value is computed by `rsverify.reference` at 40 and at 60 digits. Where the two differ
by more than 1e-35 of the value the reference has failed, and so does this script: no row is
dropped. Arguments are written so that they read back as the same float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

from rsverify.reference import proportion, special

HERE = Path(__file__).parent
LEAST = 1e-300  # values below it are nobody's business
Row = tuple[str, str, tuple[float, ...]]  # function, regime, arguments


def stirling_error(n: float, digits: int) -> Any:
    with special.precise(digits):
        n = mp.mpf(n)
        return mp.loggamma(n + 1) - (n + 0.5) * mp.log(n) + n - mp.log(2 * mp.pi) / 2


def deviance_term(x: float, mean: float, digits: int) -> Any:
    with special.precise(digits + 20):  # a difference that cancels to its square
        x, mean = mp.mpf(x), mp.mpf(mean)
        return x * mp.log(x / mean) + mean - x


def part(pair: Callable[..., Any], index: int) -> Callable[..., Any]:
    return lambda *args, digits: pair(*args, digits=digits)[index]


REFERENCES: dict[str, Callable[..., Any]] = {
    "norm_pdf": special.norm_pdf,
    "norm_cdf": special.norm_cdf,
    "norm_sf": special.norm_sf,
    "norm_ppf": special.norm_ppf,
    "norm_isf": special.norm_isf,
    "stirling_error": stirling_error,
    "deviance_term": deviance_term,
    "beta_lower": special.beta_lower,
    "beta_upper": special.beta_upper,
    "beta_lower_inverse": part(special.beta_lower_inverse, 0),
    "beta_lower_inverse_rest": part(special.beta_lower_inverse, 1),
    "beta_upper_inverse": part(special.beta_upper_inverse, 0),
    "beta_upper_inverse_rest": part(special.beta_upper_inverse, 1),
    "binomial_pmf": special.binomial_pmf,
    "binomial_upper_tail": special.binomial_upper_tail,
    "binomial_lower_tail": special.binomial_lower_tail,
    "clopper_pearson_lower": proportion.clopper_pearson_lower,
    "clopper_pearson_upper": proportion.clopper_pearson_upper,
}


def reference(function: str, args: tuple[float, ...]) -> Any:
    """Return the value to 40 digits, or raise where 60 digits do not confirm it."""
    value, check = (REFERENCES[function](*args, digits=digits) for digits in (40, 60))
    with mp.workdps(80):
        if abs(value - check) > mp.mpf("1e-35") * abs(check):
            raise ArithmeticError(f"{function}{args}: {value} at 40 digits, {check} at 60")
    return value


def normal_rows(rng: np.random.Generator) -> Iterator[Row]:
    for z in [*np.linspace(-1, 8, 40), *rng.uniform(-1, 1, 20)]:
        for function in ("norm_pdf", "norm_cdf"):
            yield function, "center", (z,)
        yield "norm_sf", "center", (-z,)
    for z in [*np.linspace(-37, -1, 60), *rng.uniform(-37, -1, 20)]:
        for function in ("norm_pdf", "norm_cdf"):
            yield function, "tail", (z,)
        yield "norm_sf", "tail", (-z,)
    for p in [0.075, 0.925, *rng.uniform(0.0, 1.0, 60), *(0.5 + 10.0 ** rng.uniform(-16, -1, 20))]:
        yield "norm_ppf", "center", (p,)
        yield "norm_isf", "center", (p,)
    for p in [*(10.0 ** rng.uniform(-300, -1, 60)), *(1 - 10.0 ** rng.uniform(-15, -1, 20))]:
        yield "norm_ppf", "tail", (p,)
        yield "norm_isf", "tail", (p,)
    for n in [*range(1, 17), 1e3, 1e7, *(np.arange(1, 40) / 2), *(10.0 ** rng.uniform(0, 7, 30))]:
        yield "stirling_error", "any", (float(n),)
    for x, shift in zip(
        10.0 ** rng.uniform(0, 7, 120), 10.0 ** rng.uniform(-8, 0, 120), strict=True
    ):
        yield "deviance_term", "any", (x, x * (1 + shift))
        yield "deviance_term", "any", (x, x * (1 - 0.99 * shift))


def counts(rng: np.random.Generator, rows: int, most: float) -> Iterator[tuple[int, int]]:
    """Yield (k, n): all of the range, few successes, few failures, in turn."""
    for i in range(rows):
        n = int(10 ** rng.uniform(0, most))
        few = min(n, int(rng.integers(0, 6)))
        yield (int(rng.integers(0, n + 1)), few, n - few)[i % 3], n


def binomial_rows(rng: np.random.Generator) -> Iterator[Row]:
    names = ("binomial_pmf", "binomial_upper_tail", "binomial_lower_tail")
    for regime, rows, most in (("n to 1e4", 150, 4), ("n to 1e7", 40, 7)):
        for k, n in counts(rng, rows, most):
            center = (k + 0.5) / (n + 1)
            spread = np.sqrt(center * (1 - center) / n)
            for distance in rng.normal(size=2) * (1, 8):
                p = center + distance * spread
                if not 0 < p < 1:
                    p = center / 10 if p <= 0 else 1 - (1 - center) / 10
                for name in names:
                    yield name, regime, (k, n, p, 1 - p)
    for n in (1, 2, 7):
        for k in range(n + 1):
            for p, q in ((1e-100, 1.0), (1.0, 1e-100), (1e-17, 1.0), (0.5, 0.5)):
                for name in names:
                    yield name, "extreme p", (k, n, p, q)


def levels(rng: np.random.Generator, i: int) -> tuple[str, float]:
    return (
        ("alpha above 1e-8", float(10 ** rng.uniform(-8, 0))),
        ("alpha to 1e-300", float(10 ** rng.uniform(-300, -8))),
        ("alpha near 1", float(1 - 10 ** rng.uniform(-12, -0.3))),
    )[i % 3]


def beta_rows(rng: np.random.Generator) -> Iterator[Row]:
    for _ in range(60):
        a, b = 1 + 10.0 ** rng.uniform(-2, 3, 2)
        x = rng.beta(a, b) if rng.random() < 0.5 else a / (a + b) * rng.uniform(0.2, 1.0)
        for name in ("beta_lower", "beta_upper"):
            yield name, "real a, b to 1e3", (a, b, x, 1 - x)
    # Beyond float64's complement: both of x and 1 - x tiny in turn.
    for a, b in ((1.0, 1.0), (2.0, 3.0), (3.0, 1.0), (1.0, 1e6), (1e6, 1.0)):
        for x, y in ((1e-90, 1.0), (1.0, 1e-90), (1e-20, 1.0), (1.0, 1e-20)):
            for name in ("beta_lower", "beta_upper"):
                yield name, "extreme x", (a, b, x, y)
    for i, (k, n) in enumerate(counts(rng, 150, 7)):
        regime, p = levels(rng, i // 3)
        args = (float(k + 1), float(n - k + 1), p)
        for side in ("lower", "upper"):
            yield f"beta_{side}_inverse", regime, args
            yield f"beta_{side}_inverse_rest", regime, args


def limit_rows(rng: np.random.Generator) -> Iterator[Row]:
    for i, (k, n) in enumerate(counts(rng, 300, 7)):
        regime, alpha = levels(rng, i // 3)
        for side in ("lower", "upper"):
            yield f"clopper_pearson_{side}", regime, (k, n, alpha)


TABLES = {
    "normal": normal_rows,
    "binomial": binomial_rows,
    "beta": beta_rows,
    "limits": limit_rows,
}


def main() -> None:
    for index, (table, rows) in enumerate(TABLES.items()):
        lines = []
        for function, regime, args in rows(np.random.default_rng([20240229, index])):
            value = reference(function, args)
            if value != 0 and abs(value) < LEAST:
                continue  # outside the range for which the kernels claim accuracy
            numbers = " ".join(repr(a if isinstance(a, int) else float(a)) for a in args)
            lines.append(f"{function}\t{regime}\t{numbers}\t{mp.nstr(value, 30)}\n")
        (HERE / f"{table}.tsv").write_text("".join(lines), encoding="utf-8")
        print(f"{table}: {len(lines)} rows")


if __name__ == "__main__":
    main()
