"""The scores in what a model returns: taken where one part can be meant, else refused."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.outputs import scores_in  # noqa: E402

SCORES = torch.arange(12.0).reshape(4, 3)
FEATURES = torch.zeros(4, 7)
HIDDEN = torch.zeros(4, 5, 3)
Pair = namedtuple("Pair", "scores features")


@dataclass(slots=True)
class Slotted:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


class ModelOutput(OrderedDict):  # as transformers has it
    pass


CLEAR: dict[str, Any] = {
    "tensor": SCORES,
    "tuple of one": (SCORES,),
    "tuple with features": (SCORES, FEATURES),
    "scores last": [FEATURES, HIDDEN, SCORES],
    "dictionary": {"out": SCORES, "features": FEATURES},
    "logits beside others of the shape": {"logits": SCORES, "distilled": SCORES + 1},
    "model output": ModelOutput(logits=SCORES, hidden_states=(HIDDEN, HIDDEN)),
    "named tuple": Pair(SCORES, FEATURES),
    "data class with slots": Slotted(SCORES),
    "object": SimpleNamespace(pred=SCORES, loss=torch.tensor(1.0), name="a"),
    "nested": {"heads": {"main": (SCORES, None)}, "labels": torch.zeros(4, 3, dtype=torch.int64)},
    "the same tensor twice": (SCORES, SCORES),
}


@pytest.mark.parametrize("output", CLEAR.values(), ids=CLEAR)
def test_scores_are_taken_where_one_part_can_be_meant(output: Any) -> None:
    assert scores_in(output, 3, 4) is SCORES


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ((SCORES, SCORES + 1), r"which more than one part has: 0 of shape \(4, 3\), 1 of"),
        (
            {"main": SCORES, "aux": -SCORES},
            r"main of .*SelectedOutput\(model, 'main'\).*--output ma",
        ),
        ({"a": FEATURES, "b": HIDDEN}, r"shape \(4, 3\), which no part has: a of shape \(4, 7\)"),
        (SimpleNamespace(x=(SCORES, SCORES + 1)), r"x\.0 of shape .*x\.1 of shape"),
    ],
)
def test_what_is_ambiguous_is_named_and_refused(output: Any, message: str) -> None:
    with pytest.raises(TypeError, match=rf"model returned \w+; it must return a tensor.*{message}"):
        scores_in(output, 3, 4)


def test_logits_of_another_shape_are_not_passed_over() -> None:
    # Else the pooled features of a model with another number of classes would be certified.
    output = {"logits": torch.zeros(4, 1000), "pooled": SCORES}
    assert scores_in(output, 3, 4).shape == (4, 1000)
    smoothed = SmoothedClassifier(lambda b: {"logits": b[:, :2], "pooled": b}, 3, 0.5)
    with pytest.raises(ValueError, match=r"scores of shape \(\d+, 2\).*num_classes=3"):
        smoothed.counts(torch.zeros(3), n=4)


def test_what_holds_no_tensor_is_left_to_the_check() -> None:
    for output in (None, "text", {"a": 1}, [1.0, 2.0]):
        assert scores_in(output, 3, 4) is output


def test_a_larger_output_is_certified_as_its_scores_are() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])

    def plain(batch: torch.Tensor) -> torch.Tensor:
        return batch @ weight.T

    def larger(batch: torch.Tensor) -> dict[str, Any]:
        return {"features": batch, "out": plain(batch)}

    x = torch.tensor([0.3, 0.1])
    votes = [
        SmoothedClassifier(m, 3, 0.5).counts(x, n=200, seed=0).tolist() for m in (plain, larger)
    ]
    assert votes[0] == votes[1]


@pytest.mark.parametrize(
    ("returned", "classes", "message"),
    [
        (
            lambda b: b[:, 0],
            2,
            r"One logit makes two classes by BinaryLogit\(model\), or --label 0",
        ),
        (lambda b: b[:, :1], 2, "BinaryLogit"),
        (lambda b: b[:, :1], 5, "a regression has no class to certify"),
        (lambda b: b.argmax(dim=1), 3, r"These are labels.*one_hot\(labels, 3\)"),
        (lambda b: b.argmax(dim=1)[:, None], 3, "These are labels"),
        (lambda b: b.numpy(), 3, "function of numpy arrays goes into NumpyModel"),
    ],
)
def test_hints_for_outputs_that_are_no_scores(returned: Any, classes: int, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        SmoothedClassifier(returned, classes, 0.5).counts(torch.zeros(3), n=8)
