"""The least mean gap, or width, that any valid bound can have: where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from rsverify._core.types import Side
from rsverify.auditing.comparing.bounded_mean import mean_limit
from rsverify.auditing.comparing.margin_of_votes import LARGEST_N, margin_limit
from rsverify.auditing.comparing.one_parameter import proportion_limit, rate_limit
from rsverify.auditing.estimand import ESTIMANDS, Estimand, Law, Parameters

MARGINS = ("difference", "probit")
LARGEST_SAMPLE = 10_000  # beyond, the grid of the sum is too coarse


def known_limit(
    estimand: Estimand, parameters: Parameters, n: int, alpha: float, side: Side
) -> float | None:
    """Return the limit at a distribution, None where it is not known."""
    if ESTIMANDS.get(estimand.name) is not estimand:
        return None
    name, _, _ = estimand.name.partition(":")
    if name in ("proportion", "randomized-proportion"):
        return proportion_limit(cast(float, parameters["p"]), n, alpha, side)
    if name == "poisson-rate":
        return rate_limit(cast(float, parameters["rate"]), n, alpha, side)
    if name == "binary-mean":
        return proportion_limit(estimand.truth(**parameters), n, alpha, side)
    if name == "mean" and n <= LARGEST_SAMPLE:
        return mean_limit(cast(Law, parameters["law"]), n, alpha, side)
    if name in MARGINS and side == "lower" and n <= LARGEST_N:
        p = cast(Sequence[float], parameters["p"])
        runner_up = p[1] if estimand.name != name else max(p[1:])
        if p[0] <= runner_up or runner_up <= 0.0 or p[0] + runner_up > 1.0:
            return None
        return margin_limit((p[0], runner_up), n, alpha, name)
    return None
