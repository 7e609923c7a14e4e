"""Two classes from one number."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.models.binary import BinaryLogit  # noqa: E402

X = torch.tensor([0.4, -0.2, 0.1])


def two(batch: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.zeros(len(batch)), batch[:, 0]], dim=1)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (lambda b: b[:, 0], {}),
        (lambda b: b[:, :1], {}),
        (lambda b: (b[:, :1],), {}),
        (lambda b: {"logits": b[:, 0]}, {}),
        (lambda b: b, {"label": 0}),
        (lambda b: b.flip(1), {"label": 2}),
        (lambda b: b[:, 0].sigmoid(), {"kind": "probability"}),
        (lambda b: b.sigmoid(), {"kind": "probability", "label": 0}),
    ],
)
def test_votes_are_those_of_the_sign(model: Any, options: dict[str, Any]) -> None:
    binary = BinaryLogit(model, **options)
    assert binary.num_classes == 2
    votes = SmoothedClassifier(binary, 2, 0.5).counts(X, n=500, seed=0)
    assert votes.tolist() == SmoothedClassifier(two, 2, 0.5).counts(X, n=500, seed=0).tolist()
    assert 0 < votes[0] < votes[1]


def test_softmax_scores_are_the_sigmoid() -> None:
    logits = torch.linspace(-5, 5, 11)[:, None]
    scores = BinaryLogit(torch.nn.Identity())(logits).softmax(dim=1)
    assert torch.allclose(scores[:, 1], logits[:, 0].sigmoid())
    probabilities = BinaryLogit(torch.nn.Sigmoid(), kind="probability")(logits)
    assert torch.allclose(probabilities[:, 1], logits[:, 0].sigmoid())
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(11))


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (lambda b: b, {}, ValueError, r"label=None must be one of 0 to 2 \(--label\).*3 numbers"),
        (lambda b: b, {"label": 3}, ValueError, "label=3 must be one of 0 to 2"),
        (lambda b: b[:, :1], {"label": 1}, ValueError, "label=1 must be one of 0 to 0"),
        (lambda b: b[:, :, None], {"label": 1}, ValueError, r"numbers of shape \(4, 3, 1\)"),
        (lambda b: b[:2], {"label": 1}, ValueError, r"shape \(2, 3\) for 4 inputs"),
        (lambda _: 3.0, {}, TypeError, "model returned float"),
    ],
)
def test_what_does_not_fit_is_refused(
    model: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        BinaryLogit(model, **options)(torch.zeros(4, 3))


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="kind='sign' must be one of 'logit', 'probability'"):
        BinaryLogit(two, kind="sign")
    with pytest.raises(ValueError, match="label=-1 must be"):
        BinaryLogit(two, label=-1)
    with pytest.raises(TypeError, match="model=3 must be"):
        BinaryLogit(3)


def test_an_invalid_number_is_no_vote() -> None:
    smoothed = SmoothedClassifier(BinaryLogit(lambda b: b[:, 0] * torch.nan), 2, 0.5)
    with pytest.raises(ValueError, match="NaN"):
        smoothed.counts(X, n=10)


def test_hashes_tell_labels_and_kinds_apart() -> None:
    made = [BinaryLogit(two), BinaryLogit(two, label=0), BinaryLogit(two, kind="probability")]
    assert len({model.rsverify_hash() for model in made}) == 3
