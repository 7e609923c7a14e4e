"""The command ``rsverify info``: what is installed, and what this machine has."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import TypedDict

from rsverify._core.optional import EXTRA_OF
from rsverify.cli.console import FormatOption, out_console, print_json, print_lines

_NEEDED = ("numpy", "scipy", "numba", "pandas", "matplotlib", "typer", "rich")
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "flint": "python-flint"}
"""Module -> the name that it is installed by, where that is another one."""


class _Info(TypedDict):
    rsverify: str
    python: str
    system: str
    packages: dict[str, str | None]
    extras: dict[str, dict[str, str | None]]
    cores: dict[str, int]
    devices: list[str]
    compiled_functions: str | None


def info(format: FormatOption = "text") -> None:
    """Print versions, devices, extras installed, cache directories and cores."""
    found = _found()
    if format == "json":
        print_json(found)
    else:
        _print(found)


def _found() -> _Info:
    from rsverify import __version__
    from rsverify._core.compile_cache import cache_folder

    folder = cache_folder()
    extras: dict[str, dict[str, str | None]] = {}
    for module, extra in EXTRA_OF.items():
        extras.setdefault(extra, {})[module] = _version(module)
    return {
        "rsverify": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "packages": {name: _version(name) for name in _NEEDED},
        "extras": extras,
        "cores": {"usable": _usable_cores(), "of the machine": os.cpu_count() or 1},
        "devices": _devices(),
        "compiled_functions": None if folder is None else str(folder),
    }


def _version(module: str) -> str | None:
    """Return the version of an installed package, None where it is not there."""
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(module, module))
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _usable_cores() -> int:
    """Return how many cores this process may use: fewer than there are in a container, say."""
    import joblib

    return int(joblib.cpu_count())


def _devices() -> list[str]:
    """Return what `--device` may be here, with the name and memory of each accelerator."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    found = ["cpu"]
    for i in range(torch.cuda.device_count()):
        of = torch.cuda.get_device_properties(i)
        found.append(f"cuda:{i} ({of.name}, {of.total_memory / 2**30:.1f} GiB)")
    if torch.backends.mps.is_available():
        found.append("mps")
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        found += [f"xpu:{i}" for i in range(torch.xpu.device_count())]
    return found


def _print(found: _Info) -> None:
    cores = found["cores"]
    lines = [
        ("rsverify", found["rsverify"]),
        ("Python", found["python"]),
        ("system", found["system"]),
        ("cores", f"{cores['usable']} usable of {cores['of the machine']}"),
        ("devices", ", ".join(found["devices"]) or "none: torch is not installed"),
        ("compiled functions", found["compiled_functions"] or "not kept between processes"),
    ]
    _print_lines("", lines)
    _print_lines("Packages", [(k, v or "not installed") for k, v in found["packages"].items()])
    _print_lines("Extras", [(k, _extra(k, v)) for k, v in found["extras"].items()])


def _extra(name: str, modules: dict[str, str | None]) -> str:
    if None in modules.values():
        absent = ", ".join(module for module, version in modules.items() if version is None)
        return f"without {absent}: pip install 'rsverify[{name}]'"
    return ", ".join(f"{module} {version}" for module, version in modules.items())


def _print_lines(title: str, lines: list[tuple[str, str]]) -> None:
    if title:
        out_console.print()
        out_console.print(title, style="bold")
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print_lines(f"{name:<{width}}  {value}", hanging=2)
