"""Exact confidence bounds and certified radii for randomized smoothing.

The public names below load on first use, so that ``import rsverify`` costs nothing and
neither torch nor matplotlib is imported before something needs it.
"""

from __future__ import annotations

import importlib
from typing import Any

from rsverify._core.moved import install as _install_old_names

__version__ = "0.1.0"

# Public name -> the module that holds it.
_PUBLIC = {
    "clopper_pearson_lower": "rsverify.bounds.proportion",
    "clopper_pearson_upper": "rsverify.bounds.proportion",
    "bonferroni_margin_lower": "rsverify.bounds.margin",
    "cohen_margin_lower": "rsverify.bounds.margin",
    "exact_margin_lower": "rsverify.bounds.margin",
    "buehler_lower": "rsverify.bounds.buehler",
    "hoeffding_lower": "rsverify.bounds.mean",
    "empirical_bernstein_lower": "rsverify.bounds.mean",
    "plugin_bernstein_lower": "rsverify.bounds.mean",
    "betting_lower": "rsverify.bounds.betting",
    "plugin_bernstein_sequence": "rsverify.bounds.confidence_sequences",
    "betting_sequence": "rsverify.bounds.confidence_sequences",
    "score_margin_lower": "rsverify.bounds.score_margin",
    "ABSTAIN": "rsverify.certificates.certificate",
    "Certificate": "rsverify.certificates.certificate",
    "certify_counts": "rsverify.certificates.certificate",
    "SmoothedClassifier": "rsverify.smoothing.classifier",
    "certify_dataset": "rsverify.smoothing.dataset",
    "audit": "rsverify.auditing.api",
    "AuditReport": "rsverify.auditing.report",
    "Estimand": "rsverify.auditing.estimand",
}

_install_old_names()

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rsverify' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
