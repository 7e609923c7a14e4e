"""Import paths of version 0.1, which warn and lead to where the module is now."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

MOVED = {
    "rsverify.abstention": "rsverify.certificates.abstention",
    "rsverify.audit.estimand": "rsverify.auditing.estimand",
    "rsverify.audit.evaluate": "rsverify.auditing.caller",
    "rsverify.audit.martingale": "rsverify.auditing.capital",
    "rsverify.audit.paper": "rsverify.paper.audit",
    "rsverify.audit.report": "rsverify.auditing.report",
    "rsverify.audit.run": "rsverify.auditing.api",
    "rsverify.audit.scenario": "rsverify.auditing.scenario",
    "rsverify.analysis": "rsverify.tables.analysis",
    "rsverify.analysis_format": "rsverify.tables.formatting",
    "rsverify.bounds.anytime": "rsverify.bounds.confidence_sequences",
    "rsverify.bounds.anytime_counts": "rsverify.bounds.margin_sequence",
    "rsverify.bounds.as_printed": "rsverify.paper.as_printed",
    "rsverify.bounds.as_printed_soft": "rsverify.paper.as_printed_scores",
    "rsverify.bounds.sides": "rsverify.bounds.interval",
    "rsverify.bounds.taylor": "rsverify.paper.two_step",
    "rsverify.comparison": "rsverify.tables.comparison",
    "rsverify.dataset_limits": "rsverify.tables.limits",
    "rsverify.early_certificate": "rsverify.certificates.early",
    "rsverify.plotting": "rsverify.tables.plot",
    "rsverify.published_radii": "rsverify.tables.published_radii",
    "rsverify.radius": "rsverify.certificates.radius",
    "rsverify.recertification": "rsverify.tables.recertify",
    "rsverify.score_certificate": "rsverify.certificates.scores",
    "rsverify.simplex": "rsverify.certificates.simplex",
    "rsverify.smoothing.adapters": "rsverify.smoothing.models.adapters",
    "rsverify.smoothing.alias": "rsverify.smoothing.noise.alias",
    "rsverify.smoothing.checkpoint": "rsverify.smoothing.models.checkpoint",
    "rsverify.smoothing.discrete": "rsverify.smoothing.noise.discrete",
    "rsverify.smoothing.load": "rsverify.smoothing.models.load",
    "rsverify.smoothing.onnx": "rsverify.smoothing.models.onnx",
    "rsverify.smoothing.shards": "rsverify.smoothing.distributed",
    "rsverify.table": "rsverify.tables.reader",
    "rsverify.table_checks": "rsverify.tables.checks",
    "rsverify.table_writer": "rsverify.tables.writer",
}
"""Old module -> new module."""

SPLIT = {
    "rsverify.certificate": (
        "rsverify.certificates.certificate",
        "rsverify.certificates.counts",
        "rsverify.certificates.margins",
    ),
}
"""Old module -> the modules that have its names now."""

AUDIT = {
    "AuditReport": "rsverify.auditing.report",
    "Estimand": "rsverify.auditing.estimand",
    "Failure": "rsverify.auditing.caller",
    "capital_from_bets": "rsverify.auditing.capital",
    "audit": "rsverify.auditing.api",
}
"""Names of `rsverify.audit`, which was a package, and the modules that have them now."""


class _Moved:
    """Finds the old names; one module object has both, unless the old one was split.

    Of no class of importlib.abc, whose import would run a ``random.py`` in the current folder.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec of an old name, None for all others."""
        del path, target
        if fullname not in MOVED and fullname not in SPLIT and fullname != "rsverify.audit":
            return None
        return importlib.util.spec_from_loader(fullname, self)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Return an empty module; `exec_module` puts the new one in its place."""
        del spec
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        """Warn, and let the new module answer to the old name."""
        old = module.__name__
        if old == "rsverify.audit":
            _make_package(module)
            return
        new = SPLIT.get(old) or (MOVED[old],)
        warnings.warn(
            f"{old} is now {' and '.join(new)}; the old name goes in the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        modules = [importlib.import_module(name) for name in new]
        if len(modules) == 1:
            sys.modules[old] = modules[0]
            return
        for source in reversed(modules):
            names = {k: v for k, v in vars(source).items() if not k.startswith("__")}
            module.__dict__.update(names)
        module.__dict__["__all__"] = [name for source in modules for name in source.__all__]


def _make_package(module: types.ModuleType) -> None:
    """Let the function `audit` answer to the name of the package that it was in.

    The import system takes any object for a module, and binds it to the name in `rsverify`, which
    stays the function.
    """
    warnings.warn(
        "rsverify.audit is a function, and its package now rsverify.auditing; imports from "
        "rsverify.audit go in the next version",
        DeprecationWarning,
        stacklevel=3,
    )
    sources = {name: importlib.import_module(place) for name, place in AUDIT.items()}
    function: Any = sources["audit"].audit
    function.__path__, function.__spec__ = [], module.__spec__
    for name, source in sources.items():
        setattr(function, name, getattr(source, name))
    sys.modules[module.__name__] = function


def names_of(package: str, module: str, names: Sequence[str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package that was the module with these names."""

    def find(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(
            f"{package}.{name} is now {package}.{module}.{name}; the old name goes in the next "
            "version",
            DeprecationWarning,
            stacklevel=2,
        )
        found: object = getattr(importlib.import_module(f"{package}.{module}"), name)
        return found

    return find


def install() -> None:
    """Make the old names importable."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
