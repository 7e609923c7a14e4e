"""Optional packages and devices."""

from __future__ import annotations

import importlib.util


class DeviceNotFoundError(ValueError):
    """A device is asked for that this machine does not have."""


def need(*modules: str) -> None:
    """Raise ModuleNotFoundError, naming the remedy, where a module is not installed."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"{name} is not installed; run: pip install 'rsverify[demo]'")
