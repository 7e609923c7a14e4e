"""Spectral norms of matrices, bounded from above with proof.

Power iteration and a computed singular value can be below the norm. Here they only propose a
number, and a Cholesky factorization proves it. For a matrix A and τ > 0 let L be any
matrix at all, in practice the computed factor of τI − A*A. Because LL* is positive semidefinite,

    τI − A*A = LL* − (LL* − τI + A*A) ⪰ −δI,   δ = ‖LL* − τI + A*A‖_F,

so ‖A‖² ≤ τ + δ. Nothing is assumed about how L was found: δ is measured, with what can have been
lost in measuring it added.

Rounding. u = 2⁻⁵³, and ‖·‖ is Frobenius' norm here. A product of matrices with inner length n,
computed by sums of products in any order, with or without fused operations, is off by at
most γ_n |X||Y| entry by entry, γ_n = nu/(1 − nu) (Higham, *Accuracy and Stability of Numerical
Algorithms*, 2002, 3.5); in complex arithmetic by √2 γ_{2n}, or 5 γ_{n+4} in norm if three real
products make a complex one. All are below 16 (n + 8) u ‖X‖ ‖Y‖. A norm over N entries is off
by a relative (N + 4) u. Entries are first scaled by a power of two so that the largest is
between ½ and 1 (√2 for complex ones): nothing overflows, and underflow costs less than 1e-280.

The result exceeds the norm by about 1e-9 of it.
"""

from __future__ import annotations

import math

import torch

from rsverify.kernels.rounding import round_up_relative

_UNIT = 2.0**-53
_UNDERFLOW = 1e-280
# By how much τ exceeds the eigenvalue found, at first: enough for Cholesky to succeed.
_SLACK = 1e-9
_POWER_STEPS = 6


def spectral_norm_upper(matrices: torch.Tensor, *, at_least: float = 0.0) -> float:
    """Return an upper bound on the spectral norms of all matrices of a batch.

    Parameters
    ----------
    matrices : Tensor of float64 or complex128, shape (..., m, n)
        On the CPU, all finite.
    at_least : float
        A bound that the result may not fall below, because the caller needs the larger of
        the two: norms under it need not be found.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an entry is not finite.

    Notes
    -----
    *Guarantee*: every ‖A‖₂ is at most the result; proof at the head of this module.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.lipschitz.spectral import spectral_norm_upper
    >>> print(f"{spectral_norm_upper(torch.tensor([[3.0, 0.0], [4.0, 0.0]]).double()):.6f}")
    5.000000
    """
    batch = matrices.reshape(-1, *matrices.shape[-2:])
    if batch.numel() == 0:
        return at_least
    if 1 in batch.shape[1:]:
        return max(at_least, frobenius_upper(batch))
    scaled, exponent = _scaled(batch)
    if exponent is None:
        return at_least
    floor = math.ldexp(at_least, -exponent)
    bound = math.sqrt(_largest_gram_eigenvalue(scaled, floor * floor))
    return max(at_least, math.ldexp(round_up_relative(bound, 2 * _UNIT), exponent))


def frobenius_upper(matrices: torch.Tensor) -> float:
    """Return an upper bound on the Frobenius norms of all matrices of a batch."""
    scaled, exponent = _scaled(matrices)
    if exponent is None:
        return 0.0
    rows = _parts(scaled).flatten(-2 - scaled.is_complex())
    norm = float(torch.linalg.vector_norm(rows, dim=-1).max())
    upper = round_up_relative(norm + _UNDERFLOW, (rows.shape[-1] + 8) * _UNIT)
    return math.ldexp(upper, exponent)


def _parts(values: torch.Tensor) -> torch.Tensor:
    """Return real and imaginary parts, on a last axis of their own, or what is real itself."""
    return torch.view_as_real(values) if values.is_complex() else values


def _scaled(values: torch.Tensor) -> tuple[torch.Tensor, int | None]:
    """Return `values` over a power of two, all parts at most 1, and its exponent.

    The exponent is None where all are zero.
    """
    largest = float(_parts(values).abs().max())
    if not math.isfinite(largest):
        raise ValueError(f"a weight is {largest}; all weights must be finite")
    if largest == 0.0:
        return values, None
    exponent = math.frexp(largest)[1]
    # In two steps, as 2.0**1074 is not a float.
    half = -exponent // 2
    return values * 2.0**half * 2.0 ** (-exponent - half), exponent


def _largest_gram_eigenvalue(batch: torch.Tensor, floor: float) -> float:
    """Return an upper bound on all ‖A‖² of a batch (b, m, n) with entries of at most 1."""
    wide = batch.shape[1] < batch.shape[2]
    gram = batch @ batch.mH if wide else batch.mH @ batch
    size, inner = gram.shape[-1], max(batch.shape[1:])
    frobenius = frobenius_upper(batch)
    gram_error = _product_error(inner, frobenius) + _UNDERFLOW
    estimates = _power_estimates(gram)
    tau, slack, bound = floor, _SLACK, 0.0
    pending = torch.arange(len(gram), device=gram.device)
    while len(pending):
        # Eigenvalues are computed only where they are likely to be the largest.
        chosen = pending[estimates[pending].argsort(descending=True)[:2]]
        if slack > _SLACK or 1.1 * float(estimates[chosen[0]]) > tau:
            found = float(torch.linalg.eigvalsh(gram[chosen])[:, -1].max())
            tau = max(tau, found * (1.0 + slack))
        shifted = -gram[pending]
        shifted.diagonal(dim1=-2, dim2=-1).add_(tau)
        factors, info = torch.linalg.cholesky_ex(shifted)
        done = info == 0
        if bool(done.any()):
            factor = factors[done]
            residual = frobenius_upper(factor @ factor.mH - shifted[done])
            rounding = _product_error(size, frobenius_upper(factor))
            # The subtraction from τ on the diagonal, and that of the residual.
            rounding += 4 * _UNIT * (math.sqrt(size) * tau + residual) + _UNDERFLOW
            total = tau + residual + rounding + gram_error
            bound = max(bound, round_up_relative(total, 8 * _UNIT))
        pending = pending[~done]
        slack *= 4.0
        if slack > 1.0:  # not seen: even then there is a bound
            return max(bound, frobenius * frobenius * (1.0 + 4 * _UNIT))
    return bound


def _product_error(inner: int, norm: float) -> float:
    """Return a bound on the error, in Frobenius' norm, of X*X with ‖X‖ at most `norm`."""
    return 16.0001 * (inner + 8) * _UNIT * norm * norm


def _power_estimates(gram: torch.Tensor) -> torch.Tensor:
    """Return estimates from below of the largest eigenvalues: they steer, they prove nothing."""
    generator = torch.Generator().manual_seed(0)
    shape = gram.shape[-1], 2
    start = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    vectors = start.to(gram.dtype).expand(len(gram), -1, -1)
    for _ in range(_POWER_STEPS):
        vectors = gram @ vectors
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-290)
    estimates: torch.Tensor = (gram @ vectors).norm(dim=1).amax(dim=1)
    return estimates
