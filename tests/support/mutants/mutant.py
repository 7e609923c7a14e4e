"""What a mutant is: a wrong bound, its fault, and the audit that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rsverify import AuditReport, audit, audit_bets, audit_capital


@dataclass(frozen=True)
class Mutant:
    """A wrong bound, what is wrong with it, and the options of the audit that shows it.

    `symmetric`: the bound of a sample does not depend on its order, so that its miscoverage
    on 0/1 samples is a sum over the number of ones.
    """

    name: str
    fault: str
    bound: Callable[..., Any] | str
    options: dict[str, Any] = field(default_factory=dict)
    symmetric: bool = False
    auditor: Callable[..., AuditReport] = audit

    def audited(self, **more) -> AuditReport:
        """Return the report of the audit that shows it."""
        return self.auditor(self.bound, **self.options, **more)


def counted(name, fault, bound, estimand, n, alpha=0.05, **more):
    """A bound of counts, audited exactly."""
    return Mutant(name, fault, bound, {"estimand": estimand, "n": n, "alpha": alpha, **more})


def drawn(name, fault, bound, n, alpha=0.05, estimand="mean", symmetric=False, **more):
    """A bound audited by simulation."""
    options = {"estimand": estimand, "n": n, "alpha": alpha, **more}
    return Mutant(name, fault, bound, options, symmetric)


def capital(name, fault, bound):
    """A bettor's capital, whose expectation is summed over all paths."""
    return Mutant(name, fault, bound, {"n": 12, "alpha": 0.05}, auditor=audit_capital)


def bets(name, fault, bound):
    """A bettor's bets, whose future is perturbed."""
    return Mutant(name, fault, bound, {"n": 40, "alpha": 0.05}, auditor=audit_bets)
