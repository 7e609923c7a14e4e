"""An example of a claim: what is audited, whether it holds, and how large the truth is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rsverify import AuditReport


@dataclass(frozen=True)
class Example:
    """A claim and the truth about it.

    `truth` returns, computed apart from the auditor, the largest excess that is known: a pair of
    the probability (or expectation) and the level that it must not be above. `slow`: the default
    audit takes more than about a second.
    """

    name: str
    auditor: Callable[..., AuditReport]
    subject: Any
    options: dict[str, Any]
    valid: bool
    truth: Callable[[], tuple[float, float]]
    slow: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def audited(self, **more: Any) -> AuditReport:
        """Return the report with default settings."""
        return self.auditor(self.subject, **self.options, **more)


def monte_carlo(draw: Callable[[Any, int], Any], event: Callable[[Any], Any], level: float):
    """Return how to compute a probability by 200,000 draws of numpy's own generator."""
    import numpy as np

    def truth() -> tuple[float, float]:
        rng = np.random.Generator(np.random.MT19937(4711))
        return float(np.mean(event(draw(rng, 200_000)))), level

    return truth
