"""Types of the public signatures: arrays, scalars, and one `Literal` an option."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

AnyArray: TypeAlias = npt.NDArray[Any]
"""An array whose type of numbers is not known, or does not matter."""
Json: TypeAlias = dict[str, Any]
"""What a JSON file holds: its types are known to those who read it."""

IntLike: TypeAlias = int | np.integer
"""One integer: what it gives is a float, where an array gives an array."""
FloatLike: TypeAlias = float | np.floating | np.integer
"""One number."""

MarginName = Literal["difference", "probit", "laplace"]
"""p_1 − p_2, Φ⁻¹(p_1) − Φ⁻¹(p_2), or the same with quantiles of the Laplace distribution."""
ScoreMarginName = Literal["difference", "probit"]
"""The margins of mean scores that there are bounds of."""
EstimandName = Literal[
    "proportion", "mean", "difference", "probit", "laplace", "ratio", "odds-ratio"
]
"""What a bound is a bound of."""
TwoSampleName = Literal["difference", "ratio", "odds-ratio"]
"""What compares two proportions: p_1 − p_2, p_1/p_2, or the ratio of p/(1 − p)."""
TwoSampleOrderingName = Literal["likelihood-ratio", "bonferroni"]
"""The orderings of the outcomes of two samples."""
VoteBoundName = Literal["exact", "bonferroni", "cohen"]
"""The bounds of a margin, from vote counts."""
OrderingName = Literal["likelihood-ratio", "nested", "inductive", "difference", "bonferroni"]
"""The orderings of the exact bound that have no parameter; `Taylor` has one."""
RadiusName = Literal["R1", "R2"]
"""R1 = (p_1 − p_2)/(√2 L); R2 = σ/2 · (Φ⁻¹(p_1) − Φ⁻¹(p_2))."""
ScoreMethodName = Literal["union", "coupled", "tangent", "bonferroni"]
"""How bounds of means become one of a margin of mean scores."""
MeanBoundName = Literal[
    "betting",
    "betting-plugin",
    "plugin-bernstein",
    "empirical-bernstein",
    "bentkus",
    "hoeffding",
    "plugin-hoeffding",
]
"""The bounds of a mean that margins of scores are made from."""
BoundName: TypeAlias = VoteBoundName | MeanBoundName
"""The bounds that a certificate of a model is made with: of its votes, or of its scores."""
ScoreMapName = Literal["softmax", "sparsemax", "hardmax", "identity"]
"""From a model's output to scores on the simplex."""
NoiseName = Literal["gaussian", "discrete"]
"""How noise is drawn: as floats, or on a lattice."""
Auto = Literal["auto"]
"""To be found out."""
PrecisionName = Literal["bfloat16", "float16"]
"""What a model can be run in by ``torch.autocast``."""
DecisionName = Literal["radius >= target", "radius < target", "undecided"]
"""What votes say about a target radius."""
StrategyName = Literal["star", "plugin", "agrapa"]
"""How a betting bound bets, for a fixed sample size."""
SequenceStrategyName = Literal["portfolio", "kt", "plugin", "agrapa"]
"""How a betting confidence sequence bets."""
Side = Literal["lower", "upper", "two-sided"]
"""Which side of its estimand a bound is on."""
AuditEstimandName = Literal[
    "proportion",
    "randomized-proportion",
    "difference",
    "difference:first",
    "probit",
    "probit:first",
    "laplace",
    "laplace:first",
    "path-difference",
    "path-probit",
    "path-laplace",
    "score-difference",
    "score-probit",
    "mean",
    "binary-mean",
    "mean-known-variance",
    "variance",
    "median",
    "two-proportion-difference",
    "two-proportion-ratio",
    "two-proportion-odds-ratio",
    "paired-difference",
    "paired-odds-ratio",
    "poisson-rate",
    "hypergeometric",
]
"""The built-in estimands of audits; with ":first", over the class of column 1."""
SkeletonEstimandName = Literal["mean", "proportion", "difference"]
"""The estimands that a new bound can be started for."""
AuditMethodName = Literal["auto", "exact", "simulation", "search"]
"""How an audit looks for distributions at which a bound fails."""
AuditKindName = Literal["coverage", "betting", "bets"]
"""What an audit measures."""
EInputName = Literal["data", "e-values", "independent e-values", "sequential e-values"]
"""What an e-value is made from: data, or e-values of that dependence."""
TargetName = Literal["numbers", "labels"]
"""What a prediction set is a set of."""
PredictionClaimName = Literal["marginal", "group", "training"]
"""Given what a prediction set claims to cover: nothing, a group, the calibration data."""
ErrorRateName = Literal["FWER", "FDR"]
"""What a procedure for several hypotheses controls."""
GivenName = Literal["p-values", "estimates"]
"""What a procedure for several hypotheses is given."""
DependenceName = Literal["any", "positive", "independent"]
"""Under which dependence it does."""
VerdictName = Literal["refuted", "supported", "inconclusive"]
"""What an audit says."""
FigureName = Literal[
    "auto", "sawtooth", "map", "curve", "claims", "zip", "time", "scenarios", "capital", "bets"
]
"""The figures of an audit."""
DataKind = Literal[
    "counts",
    "randomized counts",
    "two counts",
    "votes",
    "sample",
    "binary sample",
    "sample and variance",
    "scores",
    "vote path",
]
"""What a bound is computed from."""
