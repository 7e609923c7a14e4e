"""Guaranteed Lipschitz constants of torch modules, operation by operation."""

from rsverify._core.moved import names_of

__getattr__ = names_of(__name__, "bound", ("LayerBound", "lipschitz_bound", "lipschitz_report"))
