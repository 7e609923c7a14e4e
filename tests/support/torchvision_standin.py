"""A stand-in for torchvision, as much of it as timm needs to be imported: it does nothing.

Where torchvision does not go with the torch installed, models of timm are tested with this in its
place. timm's networks are torch's own; it takes transforms and data sets from torchvision, which
no test here uses.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_NAMES = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.models.feature_extraction",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


class _Anything(ModuleType):
    """A module in which every name is a class."""

    __path__ = ()  # a package, of which nothing is found on the disk

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"BILINEAR": 2, "BICUBIC": 3, "NEAREST": 0, "LANCZOS": 1})
        made.__module__ = self.__name__
        for other in ("BOX", "HAMMING"):
            setattr(made, other, other)
        setattr(self, name, made)
        return made


@contextmanager
def importable_timm() -> Iterator[bool]:
    """Let timm be imported in the body, and give it whether the real torchvision was there."""
    try:
        import torchvision  # noqa: F401
    except Exception:  # ImportError, or an error of torch where the two do not go together
        pass
    else:
        yield True
        return
    before = {k: m for k, m in sys.modules.items() if k.partition(".")[0] == "torchvision"}
    for name in before:
        del sys.modules[name]
    for name in _NAMES:
        module = _Anything(name)
        module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
        sys.modules[name] = module
        outer, _, inner = name.rpartition(".")
        if outer:
            setattr(sys.modules[outer], inner, module)
    try:
        yield False
    finally:
        for name in [k for k in sys.modules if k.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules.update(before)
