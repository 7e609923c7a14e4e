"""Optional packages and devices."""

from __future__ import annotations

import importlib.util

from rsverify._core.errors import UnavailableError

# Module -> the extra of this package that brings it.
_REMEDIES = {
    "torch": "rsverify[torch]",
    "sklearn": "rsverify[demo]",
    "onnxruntime": "rsverify[onnx]",
    "pyarrow": "rsverify[parquet]",
    "jinja2": "rsverify[latex]",
    "dask": "rsverify[dask]",
    "PIL": "rsverify[hubs]",
    "datasets": "datasets",
}


class DeviceNotFoundError(UnavailableError):
    """A device is asked for that this machine does not have."""


def need(*modules: str, extra: str | None = None) -> None:
    """Raise ModuleNotFoundError where a module is not installed, naming the remedy or `extra`."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise missing(name, extra)


def missing(module: str, extra: str | None = None) -> ModuleNotFoundError:
    """Return the error that says how to install a module."""
    remedy = _REMEDIES.get(module, module) if extra is None else f"rsverify[{extra}]"
    return ModuleNotFoundError(
        f"{module} is not installed; run: pip install '{remedy}'", name=module
    )
