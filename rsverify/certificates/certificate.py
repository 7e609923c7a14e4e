"""A certificate: a class and a radius, or an abstention with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

from rsverify._core.text import number_text
from rsverify._core.types import MarginName, OrderingName, RadiusName
from rsverify.bounds.margin import Taylor
from rsverify.certificates.abstention import Status
from rsverify.certificates.display import certificate_html, guarantee_of, votes_of
from rsverify.certificates.parts import Claim, Evidence
from rsverify.certificates.radius import round_down_digits
from rsverify.noise import Noise, Norm

__all__ = ["ABSTAIN", "Certificate"]

ABSTAIN = -1
"""The prediction of a certificate that certifies nothing."""


@dataclass(frozen=True, repr=False)
class Certificate:
    """A certified prediction, or an abstention, with everything that produced it.

    Made once, of two records: what is claimed, and the evidence for it. All that is in them is
    read from the certificate itself. Unpacks as ``prediction, radius``. Two certificates are
    equal if all but `seconds` and `probed` agree.

    *Guarantee*: over the random draw of `counts`, the probability that the certificate
    states a radius within which the smoothed classifier does not always predict
    `prediction` is at most `alpha`. It assumes independent votes and a class `y` that was
    fixed before `counts` were drawn.
    """

    claim: Claim
    """What is claimed."""
    evidence: Evidence
    """What produced it."""

    @property
    def prediction(self) -> int:
        """The certified class, or `ABSTAIN` (−1)."""
        return self.claim.prediction

    @property
    def radius(self) -> float:
        """Certified radius in `norm`, rounded down; 0 on abstention.

        In input units, or a number of changes under noise whose radii are whole numbers.
        """
        return self.claim.radius

    @property
    def status(self) -> Status:
        """Whether it certifies, or which kind of reason it has to abstain."""
        return self.claim.status

    @property
    def reason(self) -> str:
        """On abstention: the cause and what to change; else empty."""
        return self.claim.reason

    @property
    def y(self) -> int:
        """The class that was put to the test."""
        return self.claim.y

    @property
    def counts(self) -> tuple[int, ...]:
        """Votes of the estimation sample, one number per class."""
        return self.evidence.counts

    @property
    def selection_counts(self) -> tuple[int, ...] | None:
        """Votes of the selection sample that chose `y`; None where `y` was given."""
        return self.evidence.selection_counts

    @property
    def n(self) -> int:
        """Size of the estimation sample."""
        return self.evidence.n

    @property
    def n0(self) -> int:
        """Size of the selection sample; 0 where `y` was given."""
        return self.evidence.n0

    @property
    def alpha(self) -> float:
        """Total failure probability."""
        return self.claim.alpha

    @property
    def bound(self) -> str:
        """``"exact"``, ``"bonferroni"``, ``"cohen"``, or the name of a caller's bound."""
        return self.claim.bound

    @property
    def ordering(self) -> OrderingName | Taylor | None:
        """Ordering of the exact bound; None for the others."""
        return self.claim.ordering

    @property
    def radius_kind(self) -> RadiusName:
        """``"R1"`` or ``"R2"``."""
        return self.claim.radius_kind

    @property
    def estimand(self) -> MarginName:
        """What `margin` bounds: ``"difference"``, ``"probit"`` or ``"laplace"``."""
        return self.claim.estimand

    @property
    def margin(self) -> float:
        """The lower confidence limit of the margin; −∞ is possible."""
        return self.claim.margin

    @property
    def sigma(self) -> float:
        """Standard deviation of Gaussian noise in input units; NaN for other noise."""
        return self.claim.sigma

    @property
    def lipschitz(self) -> float | None:
        """The Lipschitz constant given for R1, if any."""
        return self.claim.lipschitz

    @property
    def noise(self) -> Noise | None:
        """The noise of the votes, where it is not N(0, sigma²) or the norm is not ℓ2; else None."""
        return self.claim.noise

    @property
    def norm(self) -> Norm:
        """In which `radius` is measured."""
        return self.claim.norm

    @property
    def dimension(self) -> int | None:
        """How many numbers each input has, where the norm needs it."""
        return self.claim.dimension

    @property
    def ignored(self) -> tuple[int, ...]:
        """Classes that were no runner-up, fixed beforehand."""
        return self.claim.ignored

    @property
    def top_k(self) -> int:
        """`prediction` is certified to be among so many most probable classes."""
        return self.claim.top_k

    @property
    def top_others(self) -> tuple[int, ...]:
        """The top_k − 1 classes, chosen by the selection sample, that may be ahead of it."""
        return self.claim.top_others

    @property
    def noise_excess(self) -> float:
        """What the noise's own error adds to the failure probability: it is part of `alpha`.

        The bound had the rest. 0 but for discrete noise.
        """
        return self.claim.noise_excess

    @property
    def seed(self) -> int | tuple[int, ...] | None:
        """What the noise was drawn from; None where the counts were given."""
        return self.evidence.seed

    @property
    def seconds(self) -> float | None:
        """Time taken by sampling and bounding; None where the counts were given."""
        return self.evidence.seconds

    @property
    def probed(self) -> str:
        """What was checked of the model before its votes counted.

        Empty where the counts were given, as nothing is then known of the model.
        """
        return self.evidence.probed

    def _fields(self) -> dict[str, object]:
        """Return all that it holds, by name: what every certificate has, then its kind's own."""
        shared = [name for name, value in vars(Certificate).items() if isinstance(value, property)]
        own = [f.name for f in fields(self) if f.name not in ("claim", "evidence")]
        return {name: getattr(self, name) for name in [*shared, *own]}

    def __iter__(self) -> Iterator[int | float]:
        return iter((self.prediction, self.radius))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self._fields().items())
        return f"{type(self).__qualname__}({inside})"

    def __str__(self) -> str:
        if self.status is not Status.CERTIFIED:
            return f"abstained ({self.status}): {self.reason}"
        made = (
            f"{self.bound} bound, {self.counts[self.y]} of {self.n} votes, "
            f"alpha={number_text(self.alpha)}"
        )
        return self._certified(made)

    def _certified(self, made: str) -> str:
        """Return the class and its radius, and what they were made by and under."""
        digits = round_down_digits(self.radius, 4)
        where = f"within radius {digits}" if self.noise is None else f"within {digits}"
        if self.noise is not None and self.noise.integer:
            where = f"for up to {self.radius:.0f} changes"
        what = f"class {self.prediction}{self._among()} {where}{self._in_norm()}"
        return f"{what} ({self._made(made)})"

    def _in_norm(self) -> str:
        """Return in which norm the radius is, where that is not the usual one."""
        return "" if self.noise is None else f" in {self.norm}"

    def _made(self, made: str) -> str:
        """Return by what and under which noise."""
        if self.noise is None:
            return f"{self.radius_kind}, {made}, sigma={number_text(self.sigma)}"
        return f"{made}, {self.noise.brief}"

    def _among(self) -> str:
        """Return what is certified of the class, where that is not that it is ahead of all."""
        text = f" among the {self.top_k} most probable" if self.top_k > 1 else ""
        if self.ignored:
            text += f", class {', '.join(map(str, self.ignored))} ignored,"
        return text

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return certificate_html(self, votes_of(self), guarantee_of(self))

    def to_dict(self) -> dict[str, object]:
        """Return all fields as JSON types; what is not finite, which JSON lacks, becomes None."""
        found = self._fields()
        found["status"] = str(self.status)
        for name in ("margin", "sigma"):
            found[name] = found[name] if math.isfinite(getattr(self, name)) else None
        found["noise"] = None if self.noise is None else str(self.noise)
        found["norm"] = str(self.norm)
        for name in ("counts", "selection_counts", "seed", "ignored", "top_others"):
            if isinstance(value := found[name], tuple):
                found[name] = list(value)
        return found


Stated = Callable[[Evidence], Certificate]
"""A claim that is made, and lacks the evidence to be a certificate."""
