"""Adapters: what they pass on, what they say about models that do not fit."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.models.adapters import (  # noqa: E402
    LimitedBatch,
    NumpyModel,
    SelectedOutput,
    SklearnModel,
)

BATCH = torch.arange(12.0).reshape(4, 3)
Named = namedtuple("Named", "logits loss")
OUTPUTS = {
    "tuple": ((BATCH, 1.0), 0),
    "list from its end": ([1.0, BATCH], -1),
    "key": ({"logits": BATCH, "loss": 1.0}, "logits"),
    "integer key": ({0: BATCH}, 0),
    "nested": ({"out": {"heads": [1.0, (2.0, BATCH)]}}, "out.heads.1.1"),
    "named tuple by name": (Named(BATCH, 1.0), "logits"),
    "named tuple by position": (Named(BATCH, 1.0), 0),
    "object": (SimpleNamespace(logits=BATCH), "logits"),
}


@pytest.mark.parametrize(("returned", "output"), OUTPUTS.values(), ids=OUTPUTS)
def test_selected_output(returned: object, output: int | str) -> None:
    selected = SelectedOutput(lambda _: returned, output)
    assert selected(BATCH) is BATCH


@pytest.mark.parametrize(
    ("returned", "output", "error", "message"),
    [
        ({"a": 1, "b": 2}, "logits", ValueError, "no 'logits' in a dict with the keys 'a', 'b'"),
        ({}, "logits", ValueError, r"no 'logits' in a dict with the keys \(none\)"),
        ((BATCH, BATCH), 2, ValueError, "output=2: there is no '2' in a tuple of 2"),
        ((BATCH, BATCH), "logits", ValueError, "no 'logits' in a tuple of 2"),
        (Named(1, 2), "x", ValueError, "no 'x' in a Named of 2 with the attributes logits, loss"),
        (SimpleNamespace(z=1), "x", ValueError, "a SimpleNamespace with the attributes z"),
        (BATCH, 0, ValueError, r"no '0' in a tensor of shape \(4, 3\)"),
        (BATCH, "shape", ValueError, "no 'shape' in a tensor"),
        ({"a": (1.0, 2)}, "a", TypeError, "output='a' is a tuple of 2; it must name a tensor"),
        ({"a": {"b": 1}}, "a.c", ValueError, "output='a.c': there is no 'c' in a dict with the"),
        (None, 0, ValueError, "no '0' in a NoneType"),
    ],
)
def test_selected_output_names_what_there_is(
    returned: object, output: int | str, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        SelectedOutput(lambda _: returned, output)(BATCH)


def test_selected_output_refuses_bad_arguments() -> None:
    for output in (True, 1.0, None):
        with pytest.raises(TypeError, match="must be a position or a key"):
            SelectedOutput(torch.nn.Identity(), output)
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module or a callable"):
        SelectedOutput(3, 0)


class TwoHeads(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 2, dtype=torch.float64)
        self.dropout = torch.nn.Dropout(0.9)

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.dropout(self.linear(batch))
        return {"first": scores, "second": -scores}


def test_smoothing_looks_through_adapters_to_the_module() -> None:
    # Type of the batches, evaluation mode and the training flag are those of the inner module.
    model = TwoHeads().train()
    votes = {}
    for output in ("first", "second"):
        smoothed = SmoothedClassifier(SelectedOutput(LimitedBatch(model, 4, 8), output), 2, 0.5)
        votes[output] = smoothed.counts(np.zeros(3), n=101, batch_size=7, seed=0).tolist()
        plain = SmoothedClassifier(lambda x, o=output: model.eval()(x)[o], 2, 0.5)
        model.train()
        expected = plain.counts(np.zeros(3), n=101, seed=0).tolist()
        assert votes[output] == expected
        model.train()
    assert votes["first"] == votes["second"][::-1]


@given(
    rows=st.integers(1, 40),
    smallest=st.integers(1, 10),
    extra=st.integers(0, 10),
    nested=st.booleans(),
)
def test_limited_batch_keeps_rows_and_limits(
    rows: int, smallest: int, extra: int, nested: bool
) -> None:
    sizes: list[int] = []

    def model(batch: torch.Tensor) -> object:
        sizes.append(len(batch))
        return {"a": [batch * 2], "b": batch} if nested else batch * 2

    batch = torch.arange(rows * 2.0).reshape(rows, 2)
    output = LimitedBatch(model, smallest, smallest + extra)(batch)
    if nested:
        assert torch.equal(output["b"], batch)
        output = output["a"][0]
    assert torch.equal(output, batch * 2)
    assert all(smallest <= size <= smallest + extra for size in sizes)


def test_limited_batch_refuses_bad_limits() -> None:
    for limits in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="must be 1 or more in order"):
            LimitedBatch(torch.nn.Identity(), *limits)


def halves(batch: np.ndarray) -> np.ndarray:
    return np.stack([-batch[:, 0], batch[:, 0]], axis=1)


def test_numpy_model_votes_as_the_same_model_in_torch() -> None:
    inputs = np.array([0.2, 0.0], dtype=np.float32)
    for returned in (halves, lambda b: halves(b).tolist(), lambda b: halves(b) > 0):
        smoothed = SmoothedClassifier(NumpyModel(returned), 2, 0.5)
        twin = SmoothedClassifier(lambda b: torch.stack([-b[:, 0], b[:, 0]], dim=1), 2, 0.5)
        votes = smoothed.counts(inputs, n=300, seed=3).tolist()
        assert votes == twin.counts(inputs, n=300, seed=3).tolist()


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (np.zeros(4), ValueError, r"one number per input; .* np\.eye\(num_classes\)\[labels\]"),
        (None, TypeError, "returned object of shape"),
        (np.array([["a"]]), TypeError, "must return real scores"),
        (np.zeros((4, 3)), ValueError, r"scores of shape \(4, 3\) for 4 inputs"),
        (np.full((4, 2), np.nan), ValueError, "NaN scores"),
    ],
)
def test_numpy_model_says_what_does_not_fit(returned: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        SmoothedClassifier(NumpyModel(lambda _: returned), 2, 0.5).counts(np.zeros(2), n=4)


def test_numpy_model_needs_a_callable() -> None:
    with pytest.raises(TypeError, match=r"function=3 must be callable"):
        NumpyModel(3)


class Estimator:
    """Follows scikit-learn's conventions: class 1 where the sum is positive."""

    def __init__(self, classes: object = ("no", "yes"), features: int = 4) -> None:
        self.classes_ = np.array(classes)
        self.n_features_in_ = features

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        positive = (x.sum(axis=1) > 0).astype(float)
        return np.stack([1 - positive, positive], axis=1)


def test_sklearn_model_flattens_and_keeps_the_order_of_classes() -> None:
    model = SklearnModel(Estimator())
    assert repr(model) == "SklearnModel(Estimator, classes=['no', 'yes'])"
    smoothed = SmoothedClassifier(model, model.num_classes, 0.5)
    twin = SmoothedClassifier(
        lambda b: torch.stack([torch.zeros(len(b)), b.flatten(1).sum(dim=1)], dim=1), 2, 0.5
    )
    x = np.full((2, 2), 0.1, dtype=np.float32)
    assert smoothed.counts(x, n=500, seed=1).tolist() == twin.counts(x, n=500, seed=1).tolist()
    assert model.encode([["no", "yes"], ["yes", "no"]]).tolist() == [[0, 1], [1, 0]]
    assert SklearnModel(Estimator([3, 7])).encode(np.array([7, 3])).tolist() == [1, 0]
    assert repr(SklearnModel(Estimator(range(9)))).endswith("classes=[0, 1, 2, 3, 4, …])")
    with pytest.raises(ValueError, match=r"label 'maybe' is none of the classes \['no', 'yes'\]"):
        model.encode(["no", "maybe"])


def test_sklearn_model_says_what_does_not_fit() -> None:
    with pytest.raises(
        TypeError,
        match=r"object has no predict_proba: fit a classifier inside a Calib.* a regression has no",
    ):
        SklearnModel(object())
    unfitted = Estimator()
    del unfitted.classes_
    with pytest.raises(ValueError, match="must be fitted"):
        SklearnModel(unfitted)
    several = Estimator()
    several.classes_ = [np.array([0, 1]), np.array([0, 1])]
    with pytest.raises(ValueError, match="must predict one output, not several"):
        SklearnModel(several)
    smoothed = SmoothedClassifier(SklearnModel(Estimator()), 2, 0.5)
    with pytest.raises(ValueError, match=r"\(3, 3\) have 9 numbers; Estimator was fitted to 4"):
        smoothed.counts(np.zeros((3, 3)), n=10)


def test_sklearn_model_agrees_with_its_estimator() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 6)), rng.integers(0, 3, size=200) * 2 + 1
    fitted = linear.LogisticRegression().fit(x, y)
    scores = SklearnModel(fitted)(torch.tensor(x.reshape(200, 2, 3)))
    assert np.array_equal(scores.numpy(), fitted.predict_proba(x))
    model = SklearnModel(fitted)
    assert model.encode(fitted.predict(x)).tolist() == scores.argmax(dim=1).tolist()


def test_adapters_show_what_they_hold() -> None:
    model = SelectedOutput(LimitedBatch(torch.nn.Identity(), 2, 8), "a")
    assert repr(model) == "SelectedOutput(LimitedBatch(Identity, 2 to 8), output='a')"
    assert repr(NumpyModel(halves)) == "NumpyModel(halves)"


def test_hashes_tell_models_apart() -> None:
    def hashes(weight: float, output: str, function: object, seed: int) -> list[str]:
        linear = torch.nn.Linear(1, 2)
        torch.nn.init.constant_(linear.weight, weight)
        torch.nn.init.zeros_(linear.bias)
        estimator = pytest.importorskip("sklearn.linear_model").LogisticRegression()
        x = np.random.default_rng(seed).normal(size=(20, 1))
        return [
            model.rsverify_hash()
            for model in (
                SelectedOutput(linear, output),
                LimitedBatch(SelectedOutput(linear, output), 1, 2),
                NumpyModel(function),
                SklearnModel(estimator.fit(x, x[:, 0] > 0)),
            )
        ]

    first, again = (hashes(1.0, "a", halves, 0) for _ in range(2))
    assert first == again
    others = hashes(2.0, "a", np.sum, 1)
    assert all(a != b for a, b in zip(first, others, strict=True))
    assert hashes(1.0, "b", halves, 0)[:2] != first[:2]

    class Unpicklable(Estimator):
        pass

    assert SklearnModel(Unpicklable()).rsverify_hash() == "Unpicklable"
