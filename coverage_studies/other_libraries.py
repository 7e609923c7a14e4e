"""What other packages claim, audited by version: intervals, tests, e-values, sets, procedures.

    python -m coverage_studies.other_libraries [--only NAME] [--results FILE]

Each line audits one function as its documentation says to call it, at a small sample size, by the
exact audit where data are counts, else by the built-in scenarios or by those named here. "exact" in
the column of claims: the documentation promises the level for finite samples, in some words;
"nominal": it speaks of an approximation or of an average. The table goes to
``results/other_libraries.tsv``, and ``docs/scoreboard.md`` is made from it by
`coverage_studies.scoreboard_page`. Packages that are not installed are left out, with a line on
the standard error; those of the table are named, with versions, on the page. Seconds are processor
time of one audit.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import stats

from rsverify import (
    Estimand,
    __version__,
    audit,
    audit_e_value,
    audit_multiple_testing,
    audit_prediction_set,
    audit_test,
    exact_margin_lower,
)
from rsverify.auditing.report import AuditReport

RESULTS = Path(__file__).parent / "results" / "other_libraries.tsv"
COLUMNS = (
    "name package version call claims estimand n alpha verdict seen promised where failures "
    "replications seconds rsverify"
)
ALPHA = 0.05
MULTINOMIAL = {3: 40_000, 7: 300}  # replications: with seven classes tables are rarely the same
Claim = Literal["exact", "nominal"]


@dataclass(frozen=True)
class Entry:
    """One function of another package, and its audit."""

    name: str
    package: str
    call: str
    claims: Claim
    audited: Callable[[], AuditReport]


def by_row(limits: Callable[[tuple[int, ...], float], Any]) -> Callable[..., Any]:
    """Return a bound of tables from one of a single table, which is asked once for each."""
    known: dict[tuple[int, ...], Any] = {}

    def bound(counts: Any, alpha: float) -> Any:
        rows = [tuple(int(k) for k in row) for row in counts]
        for row in rows:
            if row not in known:
                known[row] = np.asarray(limits(row, alpha), dtype=float)
        return np.array([known[row] for row in rows])

    return bound


def paths(make: Callable[[float], Any]) -> Callable[..., Any]:
    """Return a bound of samples from a confidence sequence of one."""

    def bound(x: Any, alpha: float) -> Any:
        fitted = [make(alpha).fit(row) for row in x]
        return np.stack([[f.lower_ for f in fitted], [f.upper_ for f in fitted]])

    return lambda x, alpha: tuple(bound(x, alpha))


def points(*values: float, of: tuple[float, ...]) -> dict[str, Any]:
    """Return a distribution of a few points, for a scenario."""
    return {"law": ("points", values, of)}


FEW = {
    "uniform": {"law": ("beta", 1.0, 1.0)},
    "Bernoulli(0.5)": points(0.0, 1.0, of=(0.5, 0.5)),
    "Bernoulli(0.05)": points(0.0, 1.0, of=(0.95, 0.05)),
    "skewed, Beta(0.1, 0.9)": {"law": ("beta", 0.1, 0.9)},
}
REAL = {
    "normal": {"law": ("norm", 0.0, 1.0)},
    "0 or 1, even": points(0.0, 1.0, of=(0.5, 0.5)),
    "dice": points(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, of=(1 / 6,) * 6),
}
COINS = {f"Bernoulli({p:g})": points(0.0, 1.0, of=(1.0 - p, p)) for p in (0.02, 0.3, 0.5, 0.9)}


def scipy_entries() -> list[Entry]:
    found = []
    kinds: dict[str, Claim] = {"exact": "exact", "wilson": "nominal", "wilsoncc": "nominal"}
    for method, claims in kinds.items():

        def limits(row: tuple[int, ...], alpha: float, method: str = method) -> Any:
            return stats.binomtest(row[0], sum(row)).proportion_ci(1.0 - alpha, method)

        found.append(
            Entry(
                f"scipy-binomtest-{method}",
                "scipy",
                f"binomtest(k, n).proportion_ci(method={method!r})",
                claims,
                lambda limits=limits: audit(
                    by_row(limits), estimand="proportion", n=50, alpha=ALPHA, side="two-sided"
                ),
            )
        )
    for method in ("percentile", "basic", "BCa"):

        def resampled(x: Any, alpha: float, method: str = method) -> Any:
            result = stats.bootstrap(
                (x,),
                np.mean,
                n_resamples=499,
                confidence_level=1.0 - alpha,
                method=method,
                rng=np.random.default_rng(zlib.crc32(x.tobytes())),
            )
            return np.array(result.confidence_interval)

        found.append(
            Entry(
                f"scipy-bootstrap-{method}",
                "scipy",
                f"bootstrap((x,), np.mean, n_resamples=499, method={method!r})",
                "nominal",
                lambda resampled=resampled: audit(
                    resampled, n=20, alpha=ALPHA, side="two-sided", scenarios=FEW, replications=2000
                ),
            )
        )
    return found + scipy_tests()


def scipy_tests() -> list[Entry]:
    exact: dict[str, Callable[..., Any]] = {
        "fisher_exact": stats.fisher_exact,
        "barnard_exact": stats.barnard_exact,
        "boschloo_exact": stats.boschloo_exact,
    }
    found = []
    for name, test in exact.items():

        def p_value(row: tuple[int, ...], _: float, test: Any = test) -> Any:
            a, b, c, d = row
            if a + c == 0 or b + d == 0:
                return 1.0  # no evidence, and what some of the tests return NaN for
            return test([[a, c], [b, d]], alternative="greater").pvalue

        found.append(
            Entry(
                f"scipy-{name.replace('_', '-')}",
                "scipy",
                f"{name}(table, alternative='greater').pvalue",
                "exact",
                lambda p_value=p_value: audit_test(
                    one_level(by_row(p_value)),
                    null=(None, 0),
                    estimand="two-proportion-difference",
                    n=8,
                    alpha=ALPHA,
                ),
            )
        )
    for method, dependence in (("bh", "positive"), ("by", "any")):

        def adjusted(p: Any, alpha: float, method: str = method) -> Any:
            return stats.false_discovery_control(p, axis=1, method=method) <= alpha

        found.append(
            Entry(
                f"scipy-false-discovery-{method}",
                "scipy",
                f"false_discovery_control(p, method={method!r}) <= alpha, dependence: {dependence}",
                "exact",
                lambda adjusted=adjusted, dependence=dependence: audit_multiple_testing(
                    adjusted, controls="FDR", n=10, alpha=ALPHA, dependence=dependence
                ),
            )
        )
    return found


def one_level(bound: Callable[..., Any]) -> Callable[..., Any]:
    """Return a p-value, which has no level, from a table's."""

    def p(counts: Any) -> Any:
        return bound(counts, ALPHA)

    return p


def statsmodels_entries() -> list[Entry]:
    from statsmodels.stats import proportion, rates

    found = []
    kinds: dict[str, Claim] = {"beta": "exact"}
    for method in ("normal", "agresti_coull", "beta", "wilson", "jeffreys", "binom_test"):

        def one(row: tuple[int, ...], alpha: float, method: str = method) -> Any:
            return proportion.proportion_confint(row[0], sum(row), alpha, method)

        found.append(
            Entry(
                f"statsmodels-proportion-{method.replace('_', '-')}",
                "statsmodels",
                f"proportion_confint(k, n, method={method!r})",
                kinds.get(method, "nominal"),
                lambda one=one: audit(
                    by_row(one), estimand="proportion", n=50, alpha=ALPHA, side="two-sided"
                ),
            )
        )
    compared = {
        "diff": ("difference", ("wald", "agresti-caffo", "newcomb", "score")),
        "ratio": ("ratio", ("log", "log-adjusted", "score")),
        "odds-ratio": ("odds-ratio", ("logit", "logit-adjusted", "score")),
    }
    for compare, (estimand, methods) in compared.items():
        for method in methods:

            def two(row: Any, alpha: float, compare: str = compare, method: str = method) -> Any:
                a, b, c, d = row
                return proportion.confint_proportions_2indep(
                    a, a + b, c, c + d, method=method, compare=compare, alpha=alpha
                )

            found.append(
                Entry(
                    f"statsmodels-2indep-{compare}-{method}",
                    "statsmodels",
                    f"confint_proportions_2indep(…, method={method!r}, compare={compare!r})",
                    "nominal",
                    lambda two=two, estimand=estimand: audit(
                        by_row(two),
                        estimand=f"two-proportion-{estimand}",
                        n=12,
                        alpha=ALPHA,
                        side="two-sided",
                    ),
                )
            )
    for method in ("exact-c", "score", "wald", "jeffreys", "midp-c", "sqrt-a"):

        def rate(row: tuple[int, ...], alpha: float, method: str = method) -> Any:
            low, high = rates.confint_poisson(row[0], row[1], method=method, alpha=alpha)
            return float(low), float(high)

        found.append(
            Entry(
                f"statsmodels-poisson-{method}",
                "statsmodels",
                f"confint_poisson(k, exposure, method={method!r})",
                "exact" if method == "exact-c" else "nominal",
                lambda rate=rate: audit(
                    by_row(rate), estimand="poisson-rate", n=4, alpha=ALPHA, side="two-sided"
                ),
            )
        )
    for method, classes in (("goodman", 3), ("sison-glaz", 7)):

        def all_of(row: tuple[int, ...], alpha: float, method: str = method) -> Any:
            return proportion.multinomial_proportions_confint(row, alpha, method)

        found.append(
            Entry(
                f"statsmodels-multinomial-{method}",
                "statsmodels",
                f"multinomial_proportions_confint(counts, method={method!r})",
                "nominal",
                lambda all_of=all_of, classes=classes: simultaneous(all_of, classes),
            )
        )
    return found


def simultaneous(limits: Callable[..., Any], classes: int) -> AuditReport:
    """Return the audit of intervals of all classes at once: that each holds its probability."""
    own = by_row(limits)

    def draw(rng: Any, replications: int, n: int, p: Any) -> Any:
        counts = rng.multinomial(n, p, replications)
        return np.concatenate([counts, np.broadcast_to(p, counts.shape)], axis=1)

    def outside(data: Any, alpha: float) -> Any:
        each = own(data[:, :classes], alpha)
        p = data[:, classes:]
        return np.maximum(each[:, :, 0] - p, p - each[:, :, 1]).max(axis=1)

    rest = 1.0 / classes
    scenarios = {
        "equal": {"p": (rest,) * classes},
        "one likely": {"p": (0.8,) + (0.2 / (classes - 1),) * (classes - 1)},
        "one rare": {"p": (0.02,) + (0.98 / (classes - 1),) * (classes - 1)},
        "one at 0.97": {"p": (0.97,) + (0.03 / (classes - 1),) * (classes - 1)},
    }
    thing = Estimand(draw, lambda **_: 0.0, scenarios, sequential=False)
    return audit(outside, estimand=thing, n=60, alpha=ALPHA, replications=MULTINOMIAL[classes])


def astropy_entries() -> list[Entry]:
    from astropy.stats import binom_conf_interval

    found = []
    for interval in ("wilson", "jeffreys", "flat", "wald"):

        def one(row: tuple[int, ...], alpha: float, interval: str = interval) -> Any:
            return binom_conf_interval(row[0], sum(row), 1.0 - alpha, interval)

        found.append(
            Entry(
                f"astropy-binom-{interval}",
                "astropy",
                f"binom_conf_interval(k, n, interval={interval!r})",
                "nominal",
                lambda one=one: audit(
                    by_row(one), estimand="proportion", n=50, alpha=ALPHA, side="two-sided"
                ),
            )
        )
    return found


def grecov_entries() -> list[Entry]:
    from grecov import multinomial_ci

    def lower(row: tuple[int, ...], alpha: float) -> Any:
        try:
            limit = multinomial_ci(list(row), [1.0, -1.0, 0.0], 2.0 * alpha)["lower"]
        except AssertionError:  # its optimizer did not converge: then it claims nothing
            return -1.0
        return limit if limit > -0.999 else -1.0  # its parameters stop short of the edge

    def everything() -> AuditReport:
        return audit(by_row(lower), estimand="difference:first", n=10, alpha=ALPHA)

    return [
        Entry(
            "grecov-equal-tail",
            "grecov",
            "multinomial_ci(counts, [1, -1, 0], 2 alpha)['lower'], where its optimizer converges "
            "and the limit is above -0.999",
            "exact",
            everything,
        )
    ]


def own_ordering() -> tuple[float, float]:
    """Return the limit of grecov for 18, 9 and 3 votes, and the exact one of the same ordering.

    One-sided at 0.05, of the difference; outcomes are in order of the difference of the votes.
    """
    from grecov import multinomial_ci

    stated = float(multinomial_ci([18, 9, 3], [1.0, -1.0, 0.0], 2.0 * ALPHA)["lower"])
    exact = exact_margin_lower(18, 9, 30, ALPHA, estimand="difference", ordering="difference")
    return stated, float(exact)


def ville_entries() -> list[Entry]:
    import ville
    from ville import evalues

    known = {"n": 40, "alpha": ALPHA, "side": "two-sided"}
    bounds: list[tuple[str, str, Claim, Callable[[], AuditReport]]] = [
        (
            "gaussian-mixture",
            "GaussianMixtureCS(sigma=0.5, alpha)",
            "exact",
            lambda: audit(
                paths(lambda a: ville.GaussianMixtureCS(sigma=0.5, alpha=a)),
                scenarios=FEW,
                **known,
            ),
        ),
        (
            "empirical-bernstein",
            "EmpiricalBernsteinCS(alpha=alpha)",
            "exact",
            lambda: audit(paths(lambda a: ville.EmpiricalBernsteinCS(alpha=a)), **known),
        ),
        (
            "betting",
            "BettingCS(alpha=alpha, grid=500)",
            "exact",
            lambda: audit(
                paths(lambda a: ville.BettingCS(alpha=a, grid=500)),
                scenarios=FEW,
                replications=2000,
                **known,
            ),
        ),
        (
            "bernoulli",
            "BernoulliCS(alpha)",
            "exact",
            lambda: audit(
                paths(lambda a: ville.BernoulliCS(alpha=a)),
                estimand="binary-mean",
                scenarios=COINS,
                replications=2000,
                **known,
            ),
        ),
        (
            "asymptotic",
            "AsymptoticCS(alpha=alpha)",
            "nominal",
            lambda: audit(
                paths(lambda a: ville.AsymptoticCS(alpha=a)),
                scenarios=FEW,
                replications=2000,
                **known,
            ),
        ),
        (
            "median",
            "QuantileCS(0.5, alpha)",
            "exact",
            lambda: audit(
                paths(lambda a: ville.QuantileCS(0.5, a)),
                estimand="median",
                scenarios=REAL,
                replications=2000,
                **known,
            ),
        ),
        (
            "e-bh",
            "ebh(p_to_e(p), alpha), dependence: any",
            "exact",
            lambda: audit_multiple_testing(
                lambda p, alpha: np.array([evalues.ebh(evalues.p_to_e(row), alpha) for row in p]),
                controls="FDR",
                n=10,
                alpha=ALPHA,
                replications=4000,
            ),
        ),
        (
            "bh",
            "bh(p, alpha), dependence: positive",
            "exact",
            lambda: audit_multiple_testing(
                lambda p, alpha: np.array([evalues.bh(row, alpha) for row in p]),
                controls="FDR",
                n=10,
                alpha=ALPHA,
                dependence="positive",
            ),
        ),
        (
            "betting-test",
            "BettingTest(0.5).fit(x).e_values_",
            "exact",
            lambda: audit_e_value(
                lambda x: np.array([ville.BettingTest(0.5).fit(row).e_values_ for row in x]),
                null=0.5,
                n=8,
            ),
        ),
        (
            "product",
            "combine(e, 'product'), sequential e-values",
            "exact",
            lambda: audit_e_value(
                lambda e: evalues.combine(e, "product"), inputs="sequential e-values", n=4
            ),
        ),
        (
            "mean",
            "combine(e, 'mean'), any dependence",
            "exact",
            lambda: audit_e_value(lambda e: evalues.combine(e, "mean"), inputs="e-values", n=4),
        ),
    ]
    return [Entry(f"ville-{name}", "ville", *rest) for name, *rest in bounds]


def mapie_entries() -> list[Entry]:
    from mapie.risk_control import methods

    def upper(bound: str) -> Callable[..., Any]:
        grid = np.linspace(0.0, 1.0, 51)  # lambdas, which the betting bound takes as values too

        def limit(x: Any, alpha: float) -> Any:
            risks = np.repeat(x[:, None], grid.size if bound == "wsr" else 1, axis=1)
            levels = grid if bound == "wsr" else grid[:1]
            return methods.get_r_hat_plus(risks, levels, "rcps", bound, alpha, 0.25)[1][0]

        return limit

    def p_value(binary: bool) -> Callable[..., Any]:
        def p(x: Any) -> Any:
            return methods.compute_hoeffding_bentkus_p_value(
                x.mean(axis=1), x.shape[1], 0.1, binary=binary
            )[:, 0]

        return p

    found = [
        Entry(
            f"mapie-rcps-{bound}",
            "mapie",
            f"get_r_hat_plus(…, method='rcps', bound={bound!r})",
            "exact",
            lambda bound=bound: audit(
                upper(bound), n=40, alpha=0.1, side="upper", replications=4000
            ),
        )
        for bound in ("hoeffding", "bernstein", "wsr")
    ]
    for binary, estimand in ((False, "mean"), (True, "binary-mean")):
        found.append(
            Entry(
                f"mapie-hoeffding-bentkus{'-binary' if binary else ''}",
                "mapie",
                f"compute_hoeffding_bentkus_p_value(r, n, 0.1, binary={binary})",
                "exact",
                lambda binary=binary, estimand=estimand: audit_test(
                    p_value(binary), null=(0.1, None), estimand=estimand, n=40, alpha=ALPHA
                ),
            )
        )
    return found


def crepes_entries() -> list[Entry]:
    from crepes import ConformalRegressor

    def interval(x: Any, y: Any, x_new: Any, alpha: float) -> Any:
        del x, x_new
        fitted = [ConformalRegressor().fit(residuals=row) for row in y]
        return np.array([f.predict_int(np.zeros(1), confidence=1.0 - alpha)[0] for f in fitted])

    return [
        Entry(
            "crepes-regressor",
            "crepes",
            "ConformalRegressor().fit(residuals).predict_int(y_hat, confidence=1 - alpha)",
            "exact",
            lambda: audit_prediction_set(interval, n=19, alpha=0.2, replications=8000),
        )
    ]


def nonconformist_entries() -> list[Entry]:
    from nonconformist.nc import AbsErrorErrFunc

    def interval(x: Any, y: Any, x_new: Any, alpha: float) -> Any:
        del x, x_new
        error = AbsErrorErrFunc()
        scores = [np.sort(error.apply(np.zeros(row.size), row))[::-1] for row in y]
        half = np.array([error.apply_inverse(each, alpha)[0] for each in scores])
        return np.column_stack([-half, half])

    return [
        Entry(
            "nonconformist-abs-error",
            "nonconformist",
            "AbsErrorErrFunc().apply_inverse(scores, alpha)",
            "exact",
            lambda: audit_prediction_set(interval, n=19, alpha=0.2, replications=8000),
        )
    ]


PACKAGES: dict[str, Callable[[], list[Entry]]] = {
    "scipy": scipy_entries,
    "statsmodels": statsmodels_entries,
    "astropy": astropy_entries,
    "grecov": grecov_entries,
    "ville": ville_entries,
    "mapie": mapie_entries,
    "crepes": crepes_entries,
    "nonconformist": nonconformist_entries,
}


def entries() -> list[Entry]:
    """Return what is audited, of the packages that are installed."""
    found = []
    for package, make in PACKAGES.items():
        try:
            importlib.import_module(package)
            found += make()
        except ImportError as error:
            print(f"left out: {package}: {error}", file=sys.stderr)
    return found


def judged(entry: Entry) -> dict[str, str]:
    """Return the line of one function."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package: what it returns is judged
        report = entry.audited()
    seconds = time.process_time() - start
    wrong = [f for f in report.failures if f.kind in ("AttributeError", "ImportError", "NameError")]
    if wrong:
        raise RuntimeError(f"{entry.name}: {wrong[0].message}")  # of the call here, not of theirs
    row, witness = report.worst, report.witness
    refuted = witness is not None and report.verdict == "refuted" and not row.replications
    where = row.scenario
    if refuted and witness is not None:
        where = ", ".join(f"{k}={v}" for k, v in witness.parameters.items())
    seen = witness.probability if refuted and witness is not None else row.miscoverage
    if report.verdict == "refuted" and row.verdict != "refuted":
        where = report.failures[-1].message
    return {
        "name": entry.name,
        "package": entry.package,
        "version": version(entry.package),
        "call": entry.call,
        "claims": entry.claims,
        "estimand": str(report.design["estimand"]),
        "n": str(report.design["n"]),
        "alpha": f"{report.design['alpha']:g}",
        "verdict": report.verdict,
        "seen": f"{seen:.4g}",
        "promised": f"{row.allowed:g}",
        "where": where.replace("\t", " "),
        "failures": ", ".join(dict.fromkeys(f.kind for f in report.failures)),
        "replications": str(row.replications),
        "seconds": f"{seconds:.2f}",
        "rsverify": __version__,
    }


def read(path: Path = RESULTS) -> list[dict[str, str]]:
    """Return the lines of a table."""
    if not path.exists():
        return []
    head, *lines = path.read_text("utf-8").splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="names that begin so")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    kept = {line["name"]: line for line in read(args.results)}
    for entry in entries():
        if args.only and not entry.name.startswith(args.only):
            continue
        line = judged(entry)
        print(line["name"], line["verdict"], line["seen"], line["where"], line["seconds"], "s")
        kept[entry.name] = line
        columns = COLUMNS.split()
        text = [
            "\t".join(columns),
            *("\t".join(each[c] for c in columns) for each in kept.values()),
        ]
        args.results.write_text("\n".join(text) + "\n", "utf-8")
    if not args.only or "grecov".startswith(args.only):
        try:
            stated, exact = own_ordering()
        except ImportError:
            return
        print(f"grecov, votes 18, 9, 3 at 0.05: {stated:.7f}; exact, same ordering: {exact:.7f}")


if __name__ == "__main__":
    main()
