"""Distributions at which bounds are compared: ordinary ones, where an audit seeks the worst."""

from __future__ import annotations

from rsverify.auditing.estimand import ESTIMANDS, Estimand, Law
from rsverify.auditing.scenario import Scenario, default_scenarios

_LAWS: dict[str, Law] = {
    "uniform": ("beta", 1.0, 1.0),
    "Beta(8, 2)": ("beta", 8.0, 2.0),
    "Beta(1000, 1000)": ("beta", 1000.0, 1000.0),
    "Bernoulli(1/2)": ("points", (0.0, 1.0), (0.5, 0.5)),
    "Bernoulli(0.9)": ("points", (0.0, 1.0), (0.1, 0.9)),
    "Bernoulli(0.99)": ("points", (0.0, 1.0), (0.01, 0.99)),
}
_PROPORTIONS = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
_VOTES = ((0.6, 0.05, 0.35), (0.5, 0.3, 0.2), (0.8, 0.15, 0.05), (0.9, 0.05, 0.05))
MOST = 8  # of a suite that was made for audits


def comparison_suite(estimand: Estimand, n: int, alpha: float, side: str) -> list[Scenario]:
    """Return the distributions at which bounds of an estimand are compared by default."""
    name = estimand.name.partition(":")[0]
    if estimand.scenarios or ESTIMANDS.get(estimand.name) is not estimand:
        return default_scenarios(estimand, n, alpha, side)
    if name in ("proportion", "randomized-proportion"):
        return [Scenario(f"p = {p:g}", {"p": p}) for p in _PROPORTIONS]
    if name in ("mean", "mean-known-variance", "binary-mean"):
        return [
            Scenario(label, {"law": law})
            for label, law in _LAWS.items()
            if name != "binary-mean" or label.startswith("Bernoulli")
        ]
    if name.removeprefix("path-") in ("difference", "probit", "laplace"):
        return [Scenario("votes " + ", ".join(map(str, p)), {"p": p}) for p in _VOTES]
    suite = default_scenarios(estimand, n, alpha, side)
    return suite[:: -(-len(suite) // MOST)]
