"""Tables of shares are merged if one model made them, of one data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_dataset, merge_tables, read_table  # noqa: E402
from rsverify.tables.metadata import read_metadata, write_metadata  # noqa: E402

DATA = [(torch.linspace(-1, 1, 8) * (i + 1) / 4, i % 3) for i in range(6)]
WEIGHT = torch.linspace(-1, 2, 24).reshape(3, 8).sin()
OPTIONS: dict[str, Any] = {"n": 100, "n0": 20, "alpha": 0.05, "seed": 1, "progress": False}


class Net(torch.nn.Module):
    """Its state dict is empty: all that makes it is in attributes."""

    def __init__(self, factor: float = 1.0, last: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.factor, self.weight, self.last = factor, WEIGHT.clone(), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.factor * x @ self.weight.T
        return scores if self.last is None else self.last(scores)


def made_of(sign: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: sign * x @ WEIGHT.T


def share(path: Path, i: int, model: Any, data: Any = DATA, **options: Any) -> Path:
    smoothed = SmoothedClassifier(model, 3, 0.5, preprocess=options.pop("preprocess", None))
    certify_dataset(smoothed, data, path, share=(i, 2), **OPTIONS, **options)
    return path


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an attribute": ({"model": Net()}, {"model": Net(-1.0)}),
    "a scale": ({"model": Net()}, {"model": Net(1.001)}),
    "the code of a method": (
        {"model": Net(last=lambda s: s)},
        {"model": Net(last=lambda s: s.flip(1))},
    ),
    "a closure": ({"model": made_of(1.0)}, {"model": made_of(-1.0)}),
    "preprocessing": (
        {"model": Net(), "preprocess": (lambda c: lambda x: x * c)(1.0)},
        {"model": Net(), "preprocess": (lambda c: lambda x: x * c)(0.9)},
    ),
    "the data": ({"model": Net()}, {"model": Net(), "data": [(x + 0.1, y) for x, y in DATA]}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_shares_of_other_models_or_data_are_not_merged(name: str, tmp_path: Path) -> None:
    one, other = OTHERS[name]
    parts = [share(tmp_path / "1.tsv", 1, **one), share(tmp_path / "2.tsv", 2, **other)]
    for order in (parts, parts[::-1]):
        with pytest.raises(
            ValueError, match=r"is no part of the same table: the .* begun"
        ) as caught:
            merge_tables(order, tmp_path / "table.tsv")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "table.tsv").exists()


def test_shares_of_one_model_are_merged_and_only_their_like_added(tmp_path: Path) -> None:
    out = tmp_path / "table.tsv"
    one = share(tmp_path / "1.tsv", 1, Net(), batch_size=7)
    merge_tables([one], out)
    other = share(tmp_path / "other.tsv", 2, Net(-1.0))
    with pytest.raises(ValueError, match="is no part of the same table"):
        merge_tables([other], out)
    merge_tables([share(tmp_path / "2.tsv", 2, Net())], out)

    whole = tmp_path / "whole.tsv"
    certify_dataset(SmoothedClassifier(Net(), 3, 0.5), DATA, whole, **OPTIONS)
    wanted = read_table(whole).drop(columns="time")
    assert read_table(out).drop(columns="time").equals(wanted)


def test_a_share_that_says_nothing_of_its_model_is_not_merged(tmp_path: Path) -> None:
    parts = [share(tmp_path / f"{i}.tsv", i, Net()) for i in (1, 2)]
    content = read_metadata(parts[1])
    del content["execution"]["answers"]
    write_metadata(parts[1], content["configuration"], content["execution"])

    with pytest.raises(ValueError, match=r"2\.tsv keeps no answers of its model"):
        merge_tables(parts, tmp_path / "table.tsv")
