"""The distributions that an audit simulates from: the default suite of each estimand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from rsverify._core.check import shown
from rsverify._core.types import MarginName
from rsverify.auditing.draws import real_sample
from rsverify.auditing.estimand import Estimand, Parameters
from rsverify.auditing.laws import check_drawn
from rsverify.auditing.suites import count_suite, real_laws

Law = tuple[Any, ...]
MIRRORED = "mirrored: "
MOVED = ", moved: "  # to an end of a null, and what it is there


@dataclass(frozen=True)
class Scenario:
    """One distribution of the data: a name and the parameters that the estimand's `draw` takes.

    `stream` names its random numbers, where that is another name than its own: the mirror
    image of a scenario has the same ones.
    """

    name: str
    parameters: Parameters
    stream: str = ""


def _rare(n: int, alpha: float) -> list[float]:
    """Return probabilities of a rare event for which seeing none of it in n is the danger.

    None in n observations has probability 0.9, 0.5, 4 alpha and 1.3 alpha in turn: a bound
    that then claims the event never happens fails to cover with that probability.
    """
    unseen = [0.9, 0.5, min(4.0 * alpha, 0.4), min(1.3 * alpha, 0.3)]
    return [1.0 - q ** (1.0 / n) for q in unseen]


def _points(values: Sequence[object], probabilities: Sequence[float]) -> Law:
    return ("points", tuple(values), tuple(probabilities))


def _two(low: float, high: float, share_high: float) -> Law:
    return _points((low, high), (1.0 - share_high, share_high))


def _mean_laws(n: int, alpha: float) -> dict[str, Law]:
    laws: dict[str, Law] = {}
    for e in _rare(n, alpha):
        laws[f"Bernoulli({1 - e:.4g}), rarely 0"] = _two(0.0, 1.0, 1.0 - e)
    for p in (1.0 / n, 0.05, 0.3, 0.5, 0.9):
        laws[f"Bernoulli({p:.4g})"] = _two(0.0, 1.0, p)
    e = _rare(n, alpha)[3]
    laws[f"0.5 or, rarely ({e:.3g}), 0"] = _two(0.0, 0.5, 1.0 - e)
    laws["two points 0.45, 0.55"] = _two(0.45, 0.55, 0.7)
    laws["two points 0.9, 1"] = _two(0.9, 1.0, 0.5)
    laws["two points 0, 0.2"] = _two(0.0, 0.2, 0.8)
    rare = min(2.0 / n, 0.5)
    laws["three points, rarely 0"] = _points((0.0, 0.9, 1.0), (rare, 0.9 - rare, 0.1))
    laws["three points 0, 1/2, 1"] = _points((0.0, 0.5, 1.0), (0.25, 0.5, 0.25))
    laws["point mass at 0.3"] = _points((0.3,), (1.0,))
    laws["uniform"] = ("beta", 1.0, 1.0)
    laws["arcsine, Beta(1/2, 1/2)"] = ("beta", 0.5, 0.5)
    laws["Beta(10, 30)"] = ("beta", 10.0, 30.0)
    laws["skewed, Beta(0.1, 0.9)"] = ("beta", 0.1, 0.9)
    laws["skewed, Beta(5, 0.2)"] = ("beta", 5.0, 0.2)
    laws["point mass at 0"] = _points((0.0,), (1.0,))
    laws["point mass at 1"] = _points((1.0,), (1.0,))
    return laws


def _binary_laws(n: int, alpha: float) -> dict[str, Law]:
    laws = {k: v for k, v in _mean_laws(n, alpha).items() if k.startswith("Bernoulli")}
    return laws | {f"point mass at {p}": _two(0.0, 1.0, p) for p in (0.0, 1.0)}


def _score_laws(n: int, alpha: float) -> dict[str, Law]:
    """Return distributions of scores; class 0 is certified and class 1 is the runner-up."""
    laws: dict[str, Law] = {}
    top, rival = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    for e in _rare(n, alpha)[1:]:
        laws[f"all for the class, rarely ({e:.3g}) all for the runner-up"] = _points(
            (top, rival), (1.0 - e, e)
        )
    laws["votes 0.6, 0.3, 0.1"] = _points((top, rival, (0.0, 0.0, 1.0)), (0.6, 0.3, 0.1))
    laws["rising and falling together"] = _points(((0.5, 0.4, 0.1), (0.1, 0.05, 0.85)), (0.5, 0.5))
    laws["one takes from the other"] = _points(((0.95, 0.05, 0.0), (0.2, 0.8, 0.0)), (0.6, 0.4))
    laws["near-tie, opposed"] = _points(((0.7, 0.3, 0.0), (0.3, 0.7, 0.0)), (0.51, 0.49))
    laws["near-tie, together"] = _points(((0.51, 0.49, 0.0), (0.01, 0.0, 0.99)), (0.5, 0.5))
    laws["another class ahead at times, none on average"] = _points(
        ((0.5, 0.5, 0.0), (0.5, 0.0, 0.5)), (0.5, 0.5)
    )
    laws["far from where the probit is straight"] = _points(
        ((0.99, 0.01, 0.0), (0.15, 0.2, 0.65)), (0.5, 0.5)
    )
    laws["constant scores"] = _points(((0.6, 0.3, 0.1),), (1.0,))
    laws["Dirichlet(12, 5, 3)"] = ("dirichlet", (12.0, 5.0, 3.0))
    laws["nearly votes, Dirichlet(0.3, 0.1, 0.1)"] = ("dirichlet", (0.3, 0.1, 0.1))
    laws["twenty classes, equal runners-up"] = ("dirichlet", (2.0,) + (0.5,) * 19)
    for j in range(2, 10):
        laws[f"ten classes, runner-up {j}"] = ("dirichlet", _ten(5.0, j, 3.4, 0.2))
    return laws


def _ten(first: float, j: int, other: float, rest: float = 0.02) -> tuple[float, ...]:
    """Return ten classes, of which class 0 and class `j` have these probabilities."""
    p = [rest] * 10
    p[0], p[j] = first, other
    return tuple(p)


def _vote_laws(n: int, alpha: float) -> dict[str, tuple[float, ...]]:
    laws: dict[str, tuple[float, ...]] = {}
    for e in _rare(n, alpha):
        laws[f"two classes, runner-up {e:.3g}"] = (1.0 - e, e, 0.0)
    one = min(1.0 / n, 0.5)
    laws["one vote for the class expected"] = (one, 0.5, 0.5 - one)
    for p in ((0.5, 0.5, 0.0), (0.55, 0.45, 0.0), (0.4, 0.1, 0.5), (0.6, 0.05, 0.35)):
        laws["three classes " + ", ".join(map(str, p))] = p
    laws["near-tie of three"] = (0.34, 0.33, 0.33)
    laws["near-tie of two runners-up"] = (0.5, 0.2501, 0.2499)
    laws["runners-up 0.3 and 0.2"] = (0.5, 0.3, 0.2)
    laws["ten classes, equal runners-up"] = (0.19,) + (0.09,) * 9
    laws["ten classes, runner-up last"] = (0.5,) + (0.02,) * 8 + (0.34,)
    for j in range(2, 9):
        laws[f"ten classes, runner-up class {j}"] = _ten(0.5, j, 0.34)
    for j in (2, 4, 5, 6, 7, 8):
        laws[f"ten classes, most probable class {j}"] = _ten(0.34, j, 0.5)
    laws["ten classes, rare runners-up"] = (0.91,) + (0.01,) * 9
    laws["hundred classes, equal runners-up"] = (0.208,) + (0.008,) * 99
    return laws


_VOTES = (*get_args(MarginName), *(f"path-{name}" for name in get_args(MarginName)))
_SAMPLES = {
    "mean": _mean_laws,
    "mean-known-variance": _mean_laws,
    "binary-mean": _binary_laws,
    "variance": _mean_laws,
    "score-difference": _score_laws,
    "score-probit": _score_laws,
}


def _mirrored_law(law: Law) -> Law:
    """Return the distribution of 1 - X; for scores, with the first two classes exchanged."""
    if law[0] == "dirichlet":
        return ("dirichlet", _exchanged(law[1]))
    if law[0] == "beta":
        return ("beta", law[2], law[1])
    mirrored = tuple(_exchanged(v) if isinstance(v, tuple) else round(1.0 - v, 15) for v in law[1])
    return ("points", mirrored, law[2])


def _exchanged(values: Law) -> Law:
    return (values[1], values[0], *values[2:])


def _for_side(suite: dict[str, Law], side: str, *, votes: bool, keep: bool) -> dict[str, Law]:
    """Return a suite made for lower bounds as one for bounds of that side.

    What endangers a lower bound (the rare zero that was not seen) is in the mirror what
    endangers an upper one. Equal runners-up are no mirror image of anything: with `keep` they
    stay, as all distributions do for two sides.
    """
    if side == "lower":
        return suite
    mirror = _exchanged if votes else _mirrored_law
    kept = suite if keep or side == "two-sided" else {}
    other = {MIRRORED + name: mirror(law) for name, law in suite.items()}
    return kept | {name: law for name, law in other.items() if law not in kept.values()}


# Random numbers keep the names that they were first drawn under.
_OLD_NAMES = {
    "all for the runner-up": "all for its rival",
    "another class ahead at times, none on average": (
        "a rival at each observation, neither on average"
    ),
}


def _stream(name: str) -> str:
    stream = name.removeprefix(MIRRORED)
    for new, old in _OLD_NAMES.items():
        stream = stream.replace(new, old)
    return stream


def default_scenarios(
    estimand: Estimand, n: int, alpha: float, side: str = "lower"
) -> list[Scenario]:
    """Return the default suite of an estimand: its own scenarios, or those built in."""
    if estimand.scenarios:
        return [
            Scenario(name, dict(p), name.partition(MOVED)[0])
            for name, p in estimand.scenarios.items()
        ]
    kind = estimand.name.split(":")[0]
    if kind in ("proportion", "randomized-proportion"):
        values = [*(1.0 - e for e in _rare(n, alpha)), *_rare(n, alpha), 0.05, 0.3, 0.5, 0.7, 0.95]
        return [Scenario(f"p = {p:.5g}", {"p": p}) for p in sorted(set(values))]
    if kind in _VOTES:
        votes = _for_side(_vote_laws(n, alpha), side, votes=True, keep=True)
        return [Scenario(name, {"p": p}, _stream(name)) for name, p in votes.items()]
    if estimand.model is not None:
        return [Scenario(name, p) for name, p in count_suite(estimand.model(n)).items()]
    if estimand.draw is real_sample:  # a quantile, by whatever name
        level = estimand.truth(law=("uniform", 0.0, 1.0))
        return [Scenario(name, {"law": law}) for name, law in real_laws(n, level).items()]
    if kind in _SAMPLES:
        suite = _SAMPLES[kind](n, alpha)
        laws = _for_side(suite, side, votes=False, keep=kind.startswith("score"))
        return [Scenario(name, {"law": law}, _stream(name)) for name, law in laws.items()]
    raise ValueError(
        f"scenarios=None needs an estimand with scenarios of its own; {estimand.name!r} has none"
    )


def check_scenarios(
    scenarios: Mapping[str, Parameters] | None,
    estimand: Estimand,
    n: int,
    alpha: float,
    side: str = "lower",
) -> list[Scenario]:
    """Return the caller's scenarios, a mapping of name to parameters, or the default suite."""
    if scenarios is None:
        return default_scenarios(estimand, n, alpha, side)
    if not isinstance(scenarios, Mapping):
        raise TypeError(f"scenarios={shown(scenarios)} must map names to the parameters of draw")
    if not scenarios:
        raise ValueError("scenarios={} must hold at least one scenario")
    for name, p in scenarios.items():
        if not isinstance(p, Mapping):
            raise TypeError(
                f"scenarios[{shown(name)}]={shown(p)} must map parameters of draw to values"
            )
        check_drawn(estimand, str(name), p, n)
    return [Scenario(str(name), dict(p)) for name, p in scenarios.items()]
