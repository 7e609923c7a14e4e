"""The auditor: finds out whether a bound keeps its promise.

`rsverify.audit` is both this package and, called, the function `audit`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

from rsverify.audit import run
from rsverify.audit.estimand import Estimand
from rsverify.audit.evaluate import Failure
from rsverify.audit.martingale import capital_from_bets
from rsverify.audit.report import AuditReport
from rsverify.audit.run import audit

__all__ = ["AuditReport", "Estimand", "Failure", "audit", "capital_from_bets"]


class _CallablePackage(types.ModuleType):
    """Lets ``rsverify.audit(...)`` run the audit although a package has that name."""

    def __call__(self, *args: Any, **options: Any) -> AuditReport:
        return run.audit(*args, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        # By name, so that a function of a script that uses `audit` can go to another process.
        return importlib.import_module, (self.__name__,)


if not TYPE_CHECKING:
    # One object under both meanings of the name, so that it does not matter which of them is
    # imported first: the package, which can be called, with the function's documentation.
    audit = sys.modules[__name__]
    audit.__class__ = _CallablePackage
    audit.__doc__ = run.audit.__doc__
    audit.__signature__ = inspect.signature(run.audit)
