"""The columns of a table that say of what its rows are certificates: noise, norm, left-out classes.

A table without them is of Gaussian noise and ℓ2, every other class a possible runner-up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import IntArray
from rsverify._core.errors import DataError
from rsverify._core.types import RadiusName
from rsverify.certificates.certificate import Certificate
from rsverify.certificates.threat import check_threat
from rsverify.noise import Gaussian, Noise, Norm, parse_noise, parse_norm

COLUMNS = ("noise", "norm", "dimension", "ignored", "top_k", "top_others")


class TableThreat(NamedTuple):
    """Noise and norm of all rows of a table."""

    noise: Noise
    norm: Norm
    dimension: int | None


def threat_fields(certificate: Certificate) -> dict[str, object]:
    """Return the columns of a certificate that is not the plain one, and nothing of that."""
    c, fields = certificate, dict[str, object]()
    if c.noise is not None:
        fields |= {"noise": str(c.noise), "norm": str(c.norm), "dimension": c.dimension}
    if c.ignored:
        fields["ignored"] = _text(c.ignored)
    if c.top_k > 1:
        fields |= {"top_k": c.top_k, "top_others": _text(c.top_others)}
    return fields


def threat_of_table(table: pd.DataFrame) -> TableThreat | None:
    """Return the noise and norm that all rows share, None for Gaussian noise and ℓ2.

    Raises
    ------
    DataError
        If rows differ in them, or they are none that are known.
    """
    if "noise" not in table.columns or (table["noise"].isna() | (table["noise"] == "")).all():
        norms = _texts_of(table, "norm") if "norm" in table.columns else ()
        if set(norms) - {"l2"}:
            raise DataError(f"the table has radii in {norms[0]} and no noise: it must say both")
        return None
    if "norm" not in table.columns:
        raise DataError("table has a column 'noise' and no column 'norm'; it must have both")
    kinds = table[["noise", "norm"]].astype(str).drop_duplicates()
    if len(kinds) > 1:
        raise DataError(
            f"noise and norm differ between the rows of the table: {kinds.to_numpy().tolist()}; "
            "certify the rows of each apart"
        )
    sizes = np.empty(0)
    if "dimension" in table.columns:
        sizes = pd.to_numeric(table["dimension"], errors="coerce").dropna().unique()
    if len(sizes) > 1:
        raise DataError(f"dimension differs between the rows of the table: {sizes.tolist()}")
    try:
        noise, norm = parse_noise(str(kinds.iloc[0, 0])), parse_norm(kinds.iloc[0, 1])
        noise.check_norm(norm)
    except ValueError as error:
        raise DataError(f"the table has {error}") from None
    return TableThreat(noise, norm, int(sizes[0]) if len(sizes) else None)


def said_of_threats(rows: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the different texts of each column that says of what rows are certificates.

    Raises
    ------
    DataError
        If rows state radii in different norms, which are of no one unit.
    """
    found = {c: _texts_of(rows, c) for c in ("ignored", "top_k") if c in rows}
    if {"noise", "norm"} <= set(rows):
        norms = {text or "l2" for text in map(_text_of_cell, rows["norm"].unique())}
        if len(norms) > 1:
            raise DataError(
                f"norm differs between the rows of the table: {sorted(norms)}; radii in one norm "
                "say nothing of another, so take the rows of each apart"
            )
        found |= {c: _texts_of(rows, c) for c in ("noise", "norm")}
    return {name: texts for name, texts in found.items() if texts}


def _texts_of(rows: pd.DataFrame, name: str) -> tuple[str, ...]:
    """Return the different texts of a column, sorted; none of what is empty."""
    return tuple(sorted({text for text in map(_text_of_cell, rows[name].unique()) if text}))


def _text_of_cell(value: object) -> str:
    """Return the text of a cell as it was before pandas made a number of it; "" of an empty one."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def in_another_norm(
    table: pd.DataFrame, norm: Norm | None, dimension: int | None, kind: RadiusName
) -> tuple[pd.DataFrame, TableThreat | None]:
    """Return a table of the same votes about another norm that its noise has radii in, and that.

    Radii are those of before. None stands for Gaussian noise and ℓ2; both are what they were
    where neither `norm` nor `dimension` is given.

    Raises
    ------
    ValueError
        If its noise has no radius in this norm (the message lists those it has), `dimension` is
        missing, or a radius R1 has none in it.
    DataError
        If rows differ in their noise.
    """
    own = threat_of_table(table)
    if norm is None and dimension is None:
        return table, own
    if own is None:
        sigmas = table["sigma"].unique()
        if len(sigmas) > 1:
            raise DataError(
                f"sigma differs between the rows of the table: {sigmas.tolist()}; certify the rows "
                "of each apart"
            )
        own = TableThreat(Gaussian(float(sigmas[0])), "l2", None)
    if dimension is not None and own.dimension not in (None, dimension):
        raise ValueError(
            f"dimension={dimension} must be {own.dimension}, which the table says its inputs have: "
            "leave it out"
        )
    found = check_threat(
        sigma=None,
        noise=own.noise,
        norm=own.norm if norm is None else norm,
        dimension=own.dimension if dimension is None else dimension,
        radius=kind,
        lipschitz=None,
    )
    plain = found.is_plain and not found.noise.excess
    threat = None if plain else TableThreat(found.noise, found.norm, found.dimension)
    new = table.assign(sigma=found.sigma) if plain else table
    return _with_columns(new, threat), threat


def _with_columns(table: pd.DataFrame, threat: TableThreat | None) -> pd.DataFrame:
    """Return a table with the columns of noise and norm anew, before those of votes."""
    made = columns_of_threat(threat, None, (), 1)
    kept = [name for name in table.columns if name not in ("noise", "norm", "dimension")]
    first = next(i for i, name in enumerate(kept) if name.startswith("count_"))
    return table[kept].assign(**made)[[*kept[:first], *made, *kept[first:]]]  # type: ignore[arg-type]


def left_out_of_table(table: pd.DataFrame, classes: int) -> npt.NDArray[np.bool_] | None:
    """Return which classes of each row are no runner-up besides its own; None where none is."""
    _check_others(table)
    if not {"ignored", "top_others"} & set(table.columns):
        return None
    out = np.zeros((len(table), classes), dtype=bool)
    for name in ("ignored", "top_others"):
        for row, value in enumerate(table[name] if name in table.columns else ()):
            for c in _classes(value, name, classes):
                out[row, c] = True
    _check_top_k(table, classes)
    return out


def _check_others(table: pd.DataFrame) -> None:
    """Raise where more than one class may be ahead, and the table does not say which."""
    if "top_k" not in table.columns or "top_others" in table.columns:
        return
    sizes = pd.to_numeric(table["top_k"], errors="coerce").fillna(1)
    if (sizes > 1).any():
        raise DataError(f"top_k={sizes.max():g} of the table needs its column 'top_others'")


def _check_top_k(table: pd.DataFrame, classes: int) -> None:
    """Raise where more or fewer classes may be ahead of a row's own than its `top_k` says."""
    if "top_others" not in table.columns:
        return
    sizes = pd.Series(1, index=table.index)
    if "top_k" in table.columns:
        sizes = pd.to_numeric(table["top_k"], errors="coerce").fillna(1)
    for size, value in zip(sizes, table["top_others"], strict=True):
        ahead = len(_classes(value, "top_others", classes))
        if ahead != size - 1:
            raise DataError(
                f"top_others={value!r} must list {size - 1:g} classes, one fewer than top_k"
            )


def columns_of_threat(
    threat: TableThreat | None,
    left_out: npt.NDArray[np.bool_] | None,
    ignored: tuple[int, ...],
    top_k: int,
) -> dict[str, object]:
    """Return the columns of rows that are certified alike; nothing of what is the default."""
    made: dict[str, object] = {}
    if threat is not None:
        made |= {
            "noise": str(threat.noise),
            "norm": str(threat.norm),
            "dimension": np.nan if threat.dimension is None else threat.dimension,
        }
    if ignored:
        made["ignored"] = _text(ignored)
    if top_k > 1:
        assert left_out is not None, "there are classes that may be ahead"
        rest = left_out.copy()
        rest[:, list(ignored)] = False
        made |= {
            "top_k": top_k,
            "top_others": [_text(tuple(np.flatnonzero(row).tolist())) for row in rest],
        }
    return made


def top_others_of_rows(
    selected: IntArray, y: IntArray, top_k: int, ignored: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """Return the top_k − 1 most voted other classes of each row of selection votes."""
    votes = selected.copy()
    votes[:, list(ignored)] = -1
    np.put_along_axis(votes, y[:, np.newaxis], -1, axis=1)
    order = np.argsort(-votes, axis=1, kind="stable")[:, : top_k - 1]
    ahead = np.zeros(votes.shape, dtype=bool)
    np.put_along_axis(ahead, order, True, axis=1)
    return ahead


def _text(classes: tuple[int, ...]) -> str:
    return ",".join(map(str, classes))


def _classes(value: object, name: str, classes: int) -> list[int]:
    """Return the classes that a cell lists."""
    if value is None or (isinstance(value, float) and np.isnan(value)) or value == "":
        return []
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = [-1]
    if any(not 0 <= c < classes for c in found):
        raise DataError(f"{name}={text!r} must list classes between 0 and {classes - 1}")
    return found
