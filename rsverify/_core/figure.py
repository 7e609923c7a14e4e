"""Figures to files: at once, never over what is there, the same bytes for the same figure."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rsverify._core.files import check_free, write_file
from rsverify._core.optional import need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Without the date, which would change the bytes.
_UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


def check_figure(path: str | os.PathLike[str], *, force: bool = False, option: str = "path") -> str:
    """Return the format that the ending of `path` names, or raise before anything is drawn.

    Raises
    ------
    ValueError
        If matplotlib writes no such format.
    FileExistsError
        If there is a file already and `force` is false.
    """
    need("matplotlib")
    from matplotlib.backend_bases import FigureCanvasBase

    ending = Path(path).suffix.lower().lstrip(".")
    known = FigureCanvasBase.get_supported_filetypes()
    if ending not in known:
        raise ValueError(f"{option}={str(path)!r} must end in .png, .pdf, .svg or another figure's")
    check_free(path, force=force)
    return ending


def save_figure(figure: Figure, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a figure to a file, of the format that its ending names."""
    ending = check_figure(path, force=force)
    content = io.BytesIO()
    figure.savefig(content, format=ending, metadata=_UNDATED.get(ending))
    write_file(path, content.getvalue(), force=force)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of inches, which a notebook shows without a back end."""
    need("matplotlib")
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            content = io.BytesIO()
            self.savefig(content, format="png")
            return content.getvalue()

    return ShownFigure(figsize=(width, height), layout="constrained", dpi=150)


def finish_figure(
    figure: Figure, path: str | os.PathLike[str] | None, *, force: bool = False
) -> Figure:
    """Write a figure to a file, if one is asked for, and return it."""
    if path is not None:
        save_figure(figure, path, force=force)
    return figure
