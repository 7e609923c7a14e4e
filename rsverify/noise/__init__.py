r"""Noise distributions and the radii that a margin under them certifies, without torch.

Votes are logged under one noise; which attacks they speak about follows from the noise and the
norm. Each class here knows its norms, which margin each of them needs, and the radius, rounded
down. Drawing the noise is done by `rsverify.smoothing.noise`.

Two rules give all radii. p_y is the probability of the certified class under noise and p_j the
largest of the others.

**Total variation.** If moving the input by r changes the distribution of the noisy input by at
most Δ(r) in total variation, p_y falls and each p_j rises by at most Δ(r), so the class stays
while 2 Δ(r) < p_y − p_j (``"difference"``).

**Quantiles.** Let Q be the quantile function of the noise along one coordinate (Gaussian: along
any direction). Where the density of the noise is log-concave and the ball's corners are the
worst directions, Q(p_k(x)) is 1-Lipschitz in x for every class k, so the class stays within half
of Q(p_y) − Q(p_j): ``"probit"`` for Gaussian noise, ``"laplace"`` for Laplace noise. The proofs
are on the page "Noise, norms and radii" of the documentation.
"""

from __future__ import annotations

from rsverify.noise.base import Noise, NoiseMargin
from rsverify.noise.gaussian import DiscreteGaussian, Gaussian
from rsverify.noise.norms import Lp, Norm, NormName, parse_norm
from rsverify.noise.parsing import parse_noise
from rsverify.noise.removal import Ablation, Deletion
from rsverify.noise.taxicab import Laplace, Splitting, Uniform

__all__ = [
    "Ablation",
    "Deletion",
    "DiscreteGaussian",
    "Gaussian",
    "Laplace",
    "Lp",
    "Noise",
    "NoiseMargin",
    "Norm",
    "NormName",
    "Splitting",
    "Uniform",
    "parse_noise",
    "parse_norm",
]
