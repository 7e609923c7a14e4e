"""Exact confidence bounds and certified radii for randomized smoothing.

Public names are listed in ``__init__.pyi``, for people and type checkers alike, and load on first
use: ``import rsverify`` costs nothing, and neither torch nor matplotlib is imported before
something needs it.
"""

import lazy_loader

from rsverify._core import moved

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

moved.install()
