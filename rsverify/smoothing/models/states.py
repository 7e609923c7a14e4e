"""Which of the weights in a checkpoint are those of a module: entries, prefixes, what is beside.

Checkpoints are dictionaries that hold state dicts under names of all kinds, among optimizers,
schedules and copies that are averages. An entry is taken because its names are those of the
module, not because of what it is called. Where several entries fit and differ, the user is asked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from rsverify._core.errors import DataError

State = Mapping[str, torch.Tensor]

_DEPTH = 4
_SHOWN = 8
# Usual names of entries, the first of which that is there is spoken of where none fits.
_USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "module", "ema")
# What wrappers put inside of names: parallel training, compilation, sharding, checkpointing.
_WRAPPERS = {
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
}
_COUNTERS = "num_batches_tracked"
# Counts that averaging and profiling leave in a state dict, which the model does not use.
_COUNTS = {"n_averaged", "total_ops", "total_params"}
# Weights that belong to training, not to the model.
_BESIDE = re.compile(r"(^|_)(loss|losses|criterion|criteria|metrics?|acc|accuracy|f1|auroc)(_|$)")


class Entry(NamedTuple):
    """Tensors by name somewhere in a checkpoint."""

    key: str
    """Where: the names of entries, joined by dots."""
    state: dict[str, torch.Tensor]
    left: list[str]
    """Weights beside these that are not the model's."""


def fitting_state(
    loaded: object, own: State, path: Path, key: str | None, module: str
) -> tuple[State, list[str]]:
    """Return the weights in what a file held, named as in `own`, and what is left beside them.

    What fits no module is returned too, as it is: its faults are for the caller to name.
    """
    entries = list(_entries(loaded, "", _DEPTH))
    if not entries:
        raise DataError(
            f"{path} holds {_contents(loaded)}; it must hold weights by name, "
            "at once or in an entry"
        )
    if key is not None:
        entries = _under(entries, key, path)
    fitting = [found for entry in entries for found in _fits(entry, own)]
    fitting = [entry for entry in fitting if _same_shapes(entry.state, own)] or fitting
    if fitting:
        first, *others = fitting
        for other in others:
            if not _equal(first.state, other.state):
                keys = [entry.key or "(the file itself)" for entry in fitting]
                raise DataError(
                    f"{path} holds weights of {module} more than once, and they differ: say which "
                    f"by key (--key): {', '.join(keys[:_SHOWN])}{', …' * (len(keys) > _SHOWN)}"
                )
        return first.state, first.left
    _check_whole(entries, own, path, module)
    return _nearest(entries, own), []


def _check_whole(entries: list[Entry], own: State, path: Path, module: str) -> None:
    """Raise where the module is a part of what was trained: the rest may be part of the model."""
    for entry in entries:
        for prefix in filter(None, _prefixes(entry.state, own.keys())):
            others = [k for k in entry.state if not k.startswith(prefix)]
            key = f"{entry.key}.{prefix}".strip(".")
            raise DataError(
                f"{path} holds the weights of {module} under {prefix!r} and others beside them, "
                f"such as {others[0][:80]}: give a function that returns the whole model, or, if "
                f"this part is the model, key={key!r} (--key {key})"
            )
    for entry in entries:
        for prefix in filter(None, _beginnings(entry.state, own.keys())):
            if any(entry.state[prefix + name].shape != own[name].shape for name in own):
                continue
            key = f"{entry.key}.{prefix}".strip(".")
            raise DataError(
                f"{path} holds the weights of {module} under {prefix!r}, a place in a sequence: "
                "give a function that returns the whole sequence, such as a normalization before "
                f"it, or, if nothing before it changes the input, key={key!r} (--key {key})"
            )


def _same_shapes(state: State, own: State) -> bool:
    return all(value.shape == own[k].shape for k, value in state.items())


def _entries(value: object, key: str, depth: int) -> Iterator[Entry]:
    """Yield all dictionaries of tensors, outermost first."""
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    if not isinstance(value, Mapping) or depth == 0:
        return
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    if tensors:
        yield Entry(key, tensors, [])
    for name, part in value.items():
        if isinstance(name, str):
            yield from _entries(part, f"{key}.{name}" if key else name, depth - 1)


def _under(entries: list[Entry], key: str, path: Path) -> list[Entry]:
    """Return what `key` names: an entry and those in it, or the names under a prefix."""
    chosen = [entry for entry in entries if f"{entry.key}.".startswith(f"{key}.")]
    for entry in entries:
        start = f"{entry.key}." if entry.key else ""
        if key.startswith(start) and not chosen:
            prefix = f"{key.removeprefix(start)}."
            state = {k[len(prefix) :]: v for k, v in entry.state.items() if k.startswith(prefix)}
            if state:
                return [Entry(key, state, [])]
    if not chosen:
        names = [entry.key or "(the file itself)" for entry in entries]
        raise DataError(
            f"key={key!r} must be an entry of {path} that holds weights, or the beginning of "
            f"their names: {', '.join(names[:_SHOWN])}{', …' * (len(names) > _SHOWN)}"
        )
    return chosen


def _fits(entry: Entry, own: State) -> Iterator[Entry]:
    """Yield the weights of an entry named as the module's are, for each prefix under which all are.

    What is not under the prefix must belong to training, or the module is not the whole model.
    """
    needed = {k for k in own if not k.endswith(_COUNTERS)} or set(own)
    for plain in (False, True):
        state = [k for k in entry.state if k in own or k.rpartition(".")[2] not in _COUNTS]
        names = {(_plain(k) if plain else k): k for k in state}
        mine = {(_plain(k) if plain else k): k for k in own}
        required = {_plain(k) if plain else k for k in needed}
        if len(names) < len(state) or len(mine) < len(own):
            continue  # wrappers are part of these names
        found = list(_under_prefixes(names, mine, required, entry))
        if found:
            yield from found
            return


def _under_prefixes(
    names: Mapping[str, str], mine: Mapping[str, str], required: set[str], entry: Entry
) -> Iterator[Entry]:
    for prefix in _prefixes(names, required):
        under = {k.removeprefix(prefix): k for k in names if k.startswith(prefix)}
        beside = [k for k in names if not k.startswith(prefix)]
        beside += [under.pop(k) for k in list(under) if k not in mine and _is_beside(k)]
        if set(under) - set(mine) or not all(map(_is_beside, beside)):
            continue
        state = {mine[k]: entry.state[names[full]] for k, full in under.items()}
        key = f"{entry.key}.{prefix}".strip(".")
        yield Entry(key, state, sorted(names[k] for k in beside))


def _prefixes(names: Iterable[str], required: Collection[str]) -> list[str]:
    """Return the beginnings of names, each with its dot, under which all required ones are.

    A number is not a prefix of a wrapper: it is a place in a sequence, with other places.
    """
    whole = _beginnings(names, required)
    return sorted((p for p in whole if not any(part.isdecimal() for part in p.split("."))), key=len)


def _beginnings(names: Iterable[str], required: Collection[str]) -> list[str]:
    counts: dict[str, int] = {}
    for name in names:
        starts = [0, *(i + 1 for i, letter in enumerate(name) if letter == ".")]
        for start in starts:
            if name[start:] in required:
                counts[name[:start]] = counts.get(name[:start], 0) + 1
    return [prefix for prefix, count in counts.items() if count == len(required)]


def _plain(name: str) -> str:
    """Return a name without what wrappers put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _is_beside(name: str) -> bool:
    """Return whether the first part of a name is that of a loss or a metric."""
    return _BESIDE.search(name.partition(".")[0].lower()) is not None


def _equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def _nearest(entries: list[Entry], own: State) -> State:
    """Return the weights to name the faults of: those that share most names, without wrappers."""

    def likeness(entry: Entry) -> tuple[int, int]:
        usual = entry.key.partition(".")[0]
        rank = _USUAL.index(usual) if usual in _USUAL else len(_USUAL)
        return len(_stripped(entry.state, own).keys() & own.keys()), -rank

    return _stripped(max(entries, key=likeness).state, own)


def _stripped(state: State, own: State) -> State:
    """Return weights without the wrappers in their names, and without a prefix that all share."""
    plain = {_plain(k): v for k, v in state.items()}
    if len(plain) < len(state) or state.keys() & own.keys():
        return state
    while True:
        first = {k.partition(".")[0] for k in plain}
        prefix = f"{next(iter(first))}."
        shared = len(first) == 1 and not prefix[:-1].isdecimal()
        if not shared or plain.keys() & own.keys() or not all(prefix in k for k in plain):
            return plain
        plain = {k.removeprefix(prefix): v for k, v in plain.items()}


def _contents(loaded: object) -> str:
    kind = type(loaded).__name__
    if not isinstance(loaded, Mapping):
        return f"an {kind}" if kind[:1] in "aeiou" else f"a {kind}"
    names = [f"{name}"[:80] for name in loaded]
    shown = f"{', '.join(names[:_SHOWN])}{', …' * (len(names) > _SHOWN)}"
    return f"a {kind} with the entries {shown}" if names else f"an empty {kind}"
