"""Data sets as others keep them: what is read by itself, what is asked, what is refused."""

from __future__ import annotations

from collections import namedtuple
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.data.containers import Inputs  # noqa: E402
from rsverify.smoothing.data.convert import check_scale  # noqa: E402
from rsverify.smoothing.data.items import Items  # noqa: E402

X = np.linspace(0, 1, 4 * 6, dtype=np.float32).reshape(4, 2, 3)
Y = np.array([1, 0, 2, 1])
Sample = namedtuple("Sample", "pixels kind name")


def items(data: Any, count: int = 4, **options: Any) -> list[Any]:
    return list(Items(data, 3, **options).load(range(count)))


def check(data: Any, labels: Any = Y) -> None:
    found = items(data)
    assert [item.label for item in found] == list(labels)
    for item, x in zip(found, X, strict=True):
        assert np.allclose(item.x.numpy(), x, atol=1e-7)


class OtherArray:
    """An array of another library, as JAX and TensorFlow have them."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._values if dtype is None else self._values.astype(dtype)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, i: int) -> Any:
        return OtherArray(self._values[i])


@pytest.mark.parametrize(
    "data",
    [
        [(x, y, "name") for x, y in zip(X, Y, strict=True)],
        [(OtherArray(x), OtherArray(y)) for x, y in zip(X, Y, strict=True)],
        (OtherArray(X), OtherArray(Y)),
        [(x.tolist(), int(y)) for x, y in zip(X, Y, strict=True)],
        [{"img": torch.tensor(x), "label": torch.tensor(y)} for x, y in zip(X, Y, strict=True)],
        [{"pixel_values": x.tolist(), "labels": float(y)} for x, y in zip(X, Y, strict=True)],
        [{"id": 3, "features": x, "target": y} for x, y in zip(X, Y, strict=True)],
        Inputs([Sample(x, y, "a") for x, y in zip(X, Y, strict=True)], x="pixels", y="kind"),
        Inputs([("a", y, x) for x, y in zip(X, Y, strict=True)], x=2, y="1"),
        Inputs([{"a": x, 7: y} for x, y in zip(X, Y, strict=True)], x="a", y=7),
        Inputs((X.transpose(0, 2, 1), Y), hwc=True),
        (torch.tensor(X), torch.tensor(Y)),
        (X, pd.Series(Y)),
        [X, Y],
        [torch.tensor(X), pd.Series(Y)],
        (list(X), Y.tolist()),
        ([x.tolist() for x in X], pd.Series(Y, index=[7, 8, 9, 5])),
        (tuple(torch.tensor(X)), torch.tensor(Y)),
    ],
)
def test_forms_of_items(data: Any) -> None:
    check(data)


def test_two_items_are_no_pair() -> None:
    x, other = X[0], X[1]
    for data in (
        [x, other],
        [(x, 1), (other, 0)],
        ((x, 1), (other, 0)),
        ((x, np.int64(1)), (other, np.int64(0))),
        [{"x": x}, {"x": other}],
    ):
        found = items(data, 2)
        assert [item.x.numpy().tolist() for item in found] == [x.tolist(), other.tolist()]


def test_items_without_a_label() -> None:
    for data in (X, list(X), [(x,) for x in X], [{"x": x, "id": 1} for x in X], OtherArray(X)):
        check(data, [-1] * 4)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float64])
def test_scale_multiplies_and_rounds_once(kind: Any) -> None:
    values = np.arange(256).astype(kind).reshape(1, 16, 16)
    for scale in (1 / 255, Fraction(1, 255)):
        (item,) = items(Inputs(values, scale=scale), 1)
        # As division does, so that inputs lie on the lattice of 1/255.
        expected = (values[0].astype(np.float64) / 255).astype(item.x.numpy().dtype)
        assert np.array_equal(item.x.numpy(), expected)


def test_scaled_bytes_are_on_the_lattice() -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 4), dtype=np.uint8)
    smoothed = SmoothedClassifier(lambda b: b[:, :2], 2, 0.5, noise="discrete", lattice=1 / 255)
    for item in Items(Inputs(values, scale=1 / 255), 2).load(range(2)):
        assert smoothed.certify(item.x, n=20, n0=5, seed=0).n == 20


def test_what_scale_may_be() -> None:
    for given in ("1/255", 1 / 255, Fraction(1, 255)):
        assert check_scale(given) == Fraction(1, 255)
    assert check_scale(0.00392) == Fraction(49, 12500)
    assert check_scale("2") == 2
    for given in ("0", -1, "a", "1/0", float("nan"), float("inf"), True, [1]):
        with pytest.raises(ValueError, match=r"scale=.* must be a positive number, such"):
            check_scale(given)
    with pytest.raises(ValueError, match=r"scale=255 multiplies: bytes become .* by 1/255"):
        items(Inputs(np.zeros((4, 2), np.uint8), scale=255))


def test_bytes_are_refused_with_both_remedies() -> None:
    for data in (np.zeros((4, 2), np.uint8), torch.zeros((4, 2), dtype=torch.uint8)):
        with pytest.raises(TypeError, match=r"give x / 255; .*scale=1/255.*--scale 1/255"):
            items(data)
    with pytest.raises(TypeError, match="int64 must be floating, in the units of sigma"):
        items(np.zeros((4, 2), np.int64))


def test_numbers_that_numpy_lacks() -> None:
    (item,) = items([torch.tensor([0.5, 1.0], dtype=torch.bfloat16)], 1)
    assert item.x.dtype == torch.bfloat16
    ml_dtypes = pytest.importorskip("ml_dtypes")
    (item,) = items([np.array([0.5, 1.0], dtype=ml_dtypes.bfloat16)], 1)
    assert item.x.tolist() == [0.5, 1.0]


# ---- Images of Pillow.


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_images_become_what_to_tensor_makes_of_them(mode: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    values = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    image = pillow.fromarray(values).convert(mode)
    (item,) = items([(image, 1)], 1)
    array = np.asarray(image.convert("L") if mode == "1" else image).reshape(5, 4, -1)
    assert np.array_equal(item.x.numpy(), array.transpose(2, 0, 1).astype(np.float32) / 255)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "I;16", "F", "LA"])
def test_images_of_other_modes_are_refused(mode: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    with pytest.raises(ValueError, match=rf"input 0: an image of mode '{mode}' must be of mode"):
        items([pillow.new(mode, (4, 5))], 1)


def test_images_are_resized_to_a_square_in_their_middle() -> None:
    pillow = pytest.importorskip("PIL.Image")
    wide = np.zeros((4, 8, 3), dtype=np.uint8)
    wide[:, 2:6] = 255  # the square in the middle is white
    for array in (wide, wide.transpose(1, 0, 2)):
        (item,) = items(Inputs([pillow.fromarray(np.ascontiguousarray(array))], size=4), 1)
        assert item.x.shape == (3, 4, 4)
        assert item.x.min() == 1
    with pytest.raises(ValueError, match="size=4 must be left out: inputs are not images of Pil"):
        items(Inputs(X, size=4))
    for options, name in (({"scale": 0.5}, "scale"), ({"hwc": True}, "hwc")):
        with pytest.raises(ValueError, match=f"{name} must be left out for images of Pillow"):
            items(Inputs([pillow.new("L", (4, 4))], **options), 1)


# ---- What is only iterated.


class Stream(torch.utils.data.IterableDataset):
    """Counts how often it is read."""

    def __init__(self, ends: tuple[int, ...] = (4,)) -> None:
        self.passes = 0
        self.ends = ends

    def __iter__(self) -> Any:
        end = self.ends[min(self.passes, len(self.ends) - 1)]
        self.passes += 1
        yield from list(zip(X, Y, strict=True))[:end]


class Plain:
    def __iter__(self) -> Any:
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize("make", [Stream, Plain])
def test_iterables_are_read_in_order_and_again(make: Any) -> None:
    check(make())
    data = Items(make(), 3)
    assert len(data) == 4
    for wanted in ([2], [0, 3], [1, 2], [3], [0]):
        for item in data.load(wanted):
            assert item.label == Y[item.idx]
            assert np.array_equal(item.x.numpy(), X[item.idx])


def test_an_iterable_is_read_once_to_count_and_once_to_use() -> None:
    stream = Stream()
    data = Items(stream, 3)
    assert [item.label for item in data.load(range(4))] == list(Y)
    assert stream.passes == 2


def test_an_iterable_that_ends_early_is_an_error() -> None:
    with pytest.raises(ValueError, match="ended after 2 items and had 4 when it was counted"):
        items(Stream(ends=(4, 2)))


def test_an_iterable_is_not_shared_among_workers() -> None:
    with pytest.raises(ValueError, match="workers=2 must be 0 for a data set that is only iterat"):
        Items(Stream(), 3, workers=2)


# ---- Refused, each with its remedy.


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((x for x in X), TypeError, r"type generator can be read once only: give list\(…\)"),
        (iter(list(X)), TypeError, "can be read once only"),
        (torch.utils.data.DataLoader(list(X)), TypeError, r"DataLoader must be .* loader\.dataset"),
        ({"train": X, "test": X}, TypeError, "dict must be one data set.*'train', 'test'"),
        (pd.DataFrame(X[0]), TypeError, r"DataFrame must say which column.*Inputs\(frame, y=COL"),
        ({"x": X, "y": Y}, TypeError, r"or a pair \(x, y\): give one or two of .*'x', 'y'"),
        ({1, 2}, TypeError, "dataset of type set must be a map-style"),
        ("folder", TypeError, "dataset of type str must be"),
        (3, TypeError, "dataset of type int must be"),
        (Inputs([]), ValueError, "dataset is empty"),
    ],
)
def test_what_is_no_data_set(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        items(data)


@pytest.mark.parametrize(
    ("item", "options", "message"),
    [
        ({"a": X[0]}, {}, r"x must name the entry that is the input \(x=…, --x …\).*'a'"),
        ({"x": X[0], "image": X[0]}, {}, "x must name one of 'x', 'image'"),
        (
            {"x": X[0], "fine_label": 1, "coarse_label": 0},
            {},
            "y must name one of 'fine_label', 'c",
        ),
        ({"x": X[0]}, {"y": "kind"}, "y='kind' must be an entry of an item: its entries are 'x'"),
        ({"x": X[0]}, {"x": "z"}, "x='z' must be an entry"),
        ((X[0], 1), {"y": 2}, "y=2 must be a position in an item, 0 to 1"),
        ((X[0], 1), {"x": "image"}, "x='image' must be a position in an item"),
        (X[0], {"y": "kind"}, "y='kind' must be left out: an item is a ndarray without entries"),
        ((X[0], [0, 1]), {}, r"label of shape \(2,\) must be one class.*label=…\), or --label"),
        ((X[0], [0, 1]), {"label": 2}, r"label=2 must be one of the labels .* of shape \(2,\)"),
        ((X[0], "cat"), {}, "label"),
        ((object(), 1), {}, "x of type object must be a torch.Tensor, a numpy array, an image"),
        (([[1.0], [2.0, 3.0]], 1), {}, "x of type list must be an array of numbers"),
        ((["a"], 1), {}, "x of type list must be"),
        ((X[0][0], 1), {"hwc": True}, r"hwc must be left out for x of shape \(3,\)"),
    ],
)
def test_items_that_leave_something_open(item: Any, options: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^input 0: .*{message}"):
        items(Inputs([item], **options), 1)


def test_one_label_of_several() -> None:
    tags = [[0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]]
    for kind in (np.int64, np.float32, np.bool_):
        data = [(x, np.array(t, dtype=kind)) for x, t in zip(X, tags, strict=True)]
        assert [item.label for item in items(Inputs(data, label=1))] == [1, 1, 0, 0]
    assert [i.label for i in items(Inputs((X, np.array(tags)), label=2))] == [0, 0, 1, 1]
    # A data set of that one label has no others to choose from.
    assert [item.label for item in items(Inputs((X, Y % 2), label=2))] == [1, 0, 0, 1]


def test_tables_of_features() -> None:
    frame = pd.DataFrame(X.reshape(4, -1), columns=list("abcdef"))
    for data in (
        Inputs(frame.assign(kind=Y), y="kind"),
        Inputs(frame.assign(label=Y)),
        (frame, pd.Series(Y)),
    ):
        assert [item.label for item in items(data)] == list(Y)
        assert items(data)[0].x.shape == (6,)
    for options, message in (
        ({"y": "nothing"}, "y='nothing' must be a column: a, b"),
        ({"x": "a"}, "x='a' must be left out: all columns"),
    ):
        with pytest.raises(ValueError, match=message):
            Inputs(frame, **options)
    with pytest.raises(TypeError, match="all columns of a DataFrame but y must be numbers"):
        Inputs(frame.assign(name="a"), y="a")


def test_bad_options() -> None:
    for options, message in (
        ({"x": 1.5}, "x=1.5 must be a name or a position"),
        ({"hwc": 1}, "hwc"),
        ({"size": 0}, "size=0"),
        ({"label": -1}, "label=-1"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            Inputs(X, **options)
    with pytest.raises(TypeError, match="is read by Inputs already"):
        Inputs(Inputs(X))


def test_inputs_are_shown_and_indexed() -> None:
    data = Inputs((X, Y), scale=1 / 255, label=2)
    assert repr(data) == "Inputs(tuple of 4, label=2, scale=1/255)"
    x, y = Inputs((X, Y))[1]
    assert np.array_equal(x.numpy(), X[1])
    assert y == 0
