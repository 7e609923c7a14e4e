"""Optional packages and devices."""

from __future__ import annotations

import importlib.util

from rsverify._core.errors import UnavailableError

EXTRA_OF = {
    "typer": "cli",
    "matplotlib": "plot",
    "torch": "torch",
    "sklearn": "demo",
    "onnxruntime": "onnx",
    "dask": "dask",
    "distributed": "dask",
    "pyarrow": "parquet",
    "safetensors": "safetensors",
    "flint": "verify",
    "jinja2": "latex",
    "transformers": "hubs",
    "timm": "hubs",
    "torchvision": "hubs",
    "PIL": "hubs",
    "datasets": "hubs",
}
"""Module -> the extra of this package that brings it."""


class DeviceNotFoundError(UnavailableError):
    """A device is asked for that this machine does not have."""


def need(*modules: str, extra: str | None = None) -> None:
    """Raise ModuleNotFoundError where a module is not installed, naming the remedy or `extra`."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise missing(name, extra)


def missing(module: str, extra: str | None = None) -> ModuleNotFoundError:
    """Return the error that says how to install a module."""
    extra = extra or EXTRA_OF.get(module)
    remedy = module if extra is None else f"rsverify[{extra}]"
    return ModuleNotFoundError(
        f"{module} is not installed; run: pip install '{remedy}'", name=module
    )
