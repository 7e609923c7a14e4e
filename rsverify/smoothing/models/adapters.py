r"""Adapters: models that do not map a batch tensor to a tensor of scores, made to do so.

Each adapter is small, does one thing and composes: what `SmoothedClassifier` takes is a
callable from a batch (b, \*input shape) to scores (b, num_classes).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence

import joblib
import numpy as np
import numpy.typing as npt
import torch

from rsverify.smoothing.data.fingerprint import model_hash
from rsverify.smoothing.device import scores_on
from rsverify.smoothing.outputs import describe

__all__ = ["LimitedBatch", "NumpyModel", "SelectedOutput", "SklearnModel"]

Model = Callable[[torch.Tensor], object]
"""Whatever it returns."""
Scores = Callable[[torch.Tensor], torch.Tensor]
"""A model whose output is one tensor of scores."""


class SelectedOutput(torch.nn.Module):
    """One part of what a model returns: an entry of a tuple, or of a dictionary, or nested.

    Parameters
    ----------
    model : torch.nn.Module or callable
        Returns a tuple, list, mapping or object that holds the scores.
    output : int or str
        Where they are: a position, a key or attribute, or several joined by dots, such as
        ``"heads.0.logits"``.

    Raises
    ------
    TypeError
        If `output` is neither int nor str; when called, if the part is not a tensor.
    ValueError
        When called, if there is no such part; the message names those there are.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.models.adapters import SelectedOutput
    >>> def model(batch):
    ...     return {"features": batch, "heads": (batch[:, :2], batch[:, 2:])}
    >>> SelectedOutput(model, "heads.1")(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3.]])
    """

    def __init__(self, model: Model, output: int | str) -> None:
        super().__init__()
        if isinstance(output, bool) or not isinstance(output, int | str):
            raise TypeError(f"output={output!r} must be a position or a key, such as 0 or 'logits'")
        if not callable(model):
            raise TypeError(f"model={model!r} must be a torch.nn.Module or a callable")
        self.model = model
        self.output = output

    def __repr__(self) -> str:
        return f"SelectedOutput({_name(self.model)}, output={self.output!r})"

    def rsverify_hash(self) -> str:
        """Return an identifier of this model, compared when a run is resumed."""
        return f"output {self.output} of {model_hash(self.model)}"

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the selected part of the model's output."""
        part = self.model(batch)
        for key in str(self.output).split("."):
            part = _part(part, key, self.output)
        if not isinstance(part, torch.Tensor):
            raise TypeError(
                f"output={self.output!r} is {describe(part)}; it must name a tensor of scores"
            )
        return part


def _part(value: object, key: str, output: int | str) -> object:
    position = int(key) if key.lstrip("-").isdecimal() else None
    if isinstance(value, Mapping):
        for name in (key, position):
            if name is not None and name in value:
                return value[name]
    elif isinstance(value, Sequence) and not isinstance(value, str) and position is not None:
        if -len(value) <= position < len(value):
            return value[position]
    elif not isinstance(value, torch.Tensor) and not key.startswith("_") and hasattr(value, key):
        return getattr(value, key)
    raise ValueError(f"output={output!r}: there is no {key!r} in {describe(value)}")


class LimitedBatch(torch.nn.Module):
    """A model that takes batches of certain sizes only, given any: it splits and fills up.

    Parameters
    ----------
    model : torch.nn.Module or callable
        Takes batches of `smallest` to `largest` inputs. Each row of its output must depend
        on that row of the batch alone.
    smallest, largest : int
        Sizes that the model takes; equal for a fixed one. Sampling with a `batch_size` of
        `largest` wastes nothing.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.models.adapters import LimitedBatch
    >>> def four_at_once(batch):
    ...     assert len(batch) == 4
    ...     return batch * 2
    >>> LimitedBatch(four_at_once, 4, 4)(torch.arange(5.0)[:, None]).flatten()
    tensor([0., 2., 4., 6., 8.])
    """

    def __init__(self, model: Model, smallest: int, largest: int) -> None:
        super().__init__()
        if not 1 <= smallest <= largest:
            raise ValueError(
                f"smallest={smallest} and largest={largest} must be 1 or more in order"
            )
        self.model = model
        self.smallest = smallest
        self.largest = largest

    def __repr__(self) -> str:
        return f"LimitedBatch({_name(self.model)}, {self.smallest} to {self.largest})"

    def rsverify_hash(self) -> str:
        """Return an identifier of this model, compared when a run is resumed."""
        return model_hash(self.model)

    def forward(self, batch: torch.Tensor) -> object:
        """Return the model's output for all rows, joined."""
        if self.smallest <= len(batch) <= self.largest:
            return self.model(batch)
        parts = []
        for part in batch.split(self.largest):
            # Rows that fill up repeat one that is there: any other values might be new to it.
            missing = max(self.smallest - len(part), 0)
            filled = torch.cat([part, part[:1].expand(missing, *part.shape[1:])])
            parts.append(_first_rows(self.model(filled), len(part)))
        return _joined(parts)


def _first_rows(output: object, rows: int) -> object:
    """Return the first rows of all tensors of an output."""
    return torch.utils._pytree.tree_map(lambda tensor: tensor[:rows], output)


def _joined(outputs: list[object]) -> object:
    return torch.utils._pytree.tree_map(lambda *tensors: torch.cat(tensors), *outputs)


class NumpyModel:
    r"""A function from a numpy batch (b, \*input shape) to scores (b, num_classes), on the CPU.

    Parameters
    ----------
    function : callable
        Is given an array of the batch's floating type, float32 for bfloat16, and returns an
        array of real numbers, of numpy or another library (JAX, TensorFlow). It must not keep
        the array, whose memory the next batch takes.

    Raises
    ------
    TypeError
        If `function` is not callable; when called, if it returns no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify import SmoothedClassifier
    >>> from rsverify.smoothing.models.adapters import NumpyModel
    >>> def halves(batch):
    ...     return np.stack([-batch[:, 0], batch[:, 0]], axis=1)
    >>> SmoothedClassifier(NumpyModel(halves), 2, sigma=0.5).predict(np.ones(2), n=100, seed=0)
    1
    """

    def __init__(self, function: Callable[..., npt.ArrayLike]) -> None:
        if not callable(function):
            raise TypeError(f"function={function!r} must be callable")
        self.function = function

    def __repr__(self) -> str:
        return f"NumpyModel({_name(self.function)})"

    def rsverify_hash(self) -> str:
        """Return an identifier of this model, compared when a run is resumed."""
        return model_hash(self.function)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the function's scores of a batch."""
        scores = _plain(self.function(_numpy_of(batch)))
        if scores.dtype.kind not in "biuf":
            raise TypeError(
                f"{self!r} returned {scores.dtype} of shape {scores.shape}; it must return real "
                "scores, one column a class"
            )
        if scores.ndim == 1:
            raise ValueError(
                f"{self!r} returned one number per input; it must return one score per class: for "
                "labels, np.eye(num_classes)[labels]"
            )
        numbers = scores if scores.dtype.kind == "f" else scores.astype(np.float64)
        return scores_on(batch.device, numbers)


class SklearnModel:
    """A fitted scikit-learn classifier, by its ``predict_proba`` of flattened inputs.

    Class k of the scores is ``classes_[k]``: labels of a data set must be put in that order,
    by `encode`, before they are compared.

    Parameters
    ----------
    estimator : object
        A fitted classifier with ``predict_proba`` and ``classes_``: of scikit-learn, a
        pipeline, or any library that follows its conventions.

    Raises
    ------
    TypeError
        If `estimator` has no ``predict_proba``.
    ValueError
        If it is not fitted or predicts several outputs; when called, if inputs have another
        number of features than it was fitted to.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from rsverify import SmoothedClassifier
    >>> from rsverify.smoothing.models.adapters import SklearnModel
    >>> x = np.random.default_rng(0).normal(size=(100, 2, 2))
    >>> fitted = LogisticRegression().fit(x.reshape(100, 4), np.where(x[:, 0, 0] > 0, "yes", "no"))
    >>> model = SklearnModel(fitted)
    >>> model
    SklearnModel(LogisticRegression, classes=['no', 'yes'])
    >>> smoothed = SmoothedClassifier(model, model.num_classes, sigma=0.25)
    >>> model.classes[smoothed.predict(np.ones((2, 2)), n=100, seed=0)]
    'yes'
    >>> model.encode(["yes", "no"])
    array([1, 0])
    """

    def __init__(self, estimator: object) -> None:
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"{type(estimator).__name__} has no predict_proba: fit a classifier inside a "
                "CalibratedClassifierCV, or give its scores by NumpyModel; a regression has no "
                "class to certify, but being above a threshold is one: BinaryLogit"
            )
        classes = getattr(estimator, "classes_", None)
        if classes is None:
            raise ValueError(f"{type(estimator).__name__} must be fitted: it has no classes_ yet")
        if isinstance(classes, list) or np.ndim(classes) != 1:
            raise ValueError(
                f"{type(estimator).__name__} must predict one output, not several: give one of its "
                "estimators_"
            )
        self.estimator = estimator
        self.classes: list[object] = np.asarray(classes).tolist()

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self.classes[:5])) + (", …" if self.num_classes > 5 else "")
        return f"SklearnModel({type(self.estimator).__name__}, classes=[{shown}])"

    def rsverify_hash(self) -> str:
        """Return an identifier of this model, compared when a run is resumed."""
        name = type(self.estimator).__name__
        # A search keeps what else it tried in masked arrays, of which joblib makes no hash.
        used = getattr(self.estimator, "best_estimator_", self.estimator)
        try:
            return f"{name} {joblib.hash(used)[:16]}"
        except (pickle.PicklingError, TypeError, AttributeError, ValueError):
            return name  # cannot be pickled: known by its class alone

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def encode(self, labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the positions of `labels` in `classes`, or raise where one is not there."""
        positions = {label: k for k, label in enumerate(self.classes)}
        given = np.asarray(labels)
        unknown = [label for label in given.ravel().tolist() if label not in positions]
        if unknown:
            raise ValueError(f"label {unknown[0]!r} is none of the classes {self.classes}")
        encoded = [positions[label] for label in given.ravel().tolist()]
        return np.array(encoded, dtype=np.int64).reshape(given.shape)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the estimator's probabilities for a batch."""
        flat = _numpy_of(batch.flatten(1))
        expected = getattr(self.estimator, "n_features_in_", flat.shape[1])
        if flat.shape[1] != expected:
            raise ValueError(
                f"inputs of shape {tuple(batch.shape[1:])} have {flat.shape[1]} numbers; "
                f"{type(self.estimator).__name__} was fitted to {expected}"
            )
        return scores_on(batch.device, np.asarray(self.estimator.predict_proba(flat)))


def _numpy_of(batch: torch.Tensor) -> npt.NDArray[np.floating]:
    """Return a batch as numpy, which has no bfloat16, has it."""
    host = batch.detach().cpu()
    numbers: npt.NDArray[np.floating] = host.float().numpy() if is_brief(host) else host.numpy()
    return numbers


def is_brief(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is of a floating type that numpy lacks."""
    return tensor.is_floating_point() and tensor.dtype not in (
        torch.float16,
        torch.float32,
        torch.float64,
    )


def _plain(scores: npt.ArrayLike) -> npt.NDArray[np.generic]:
    """Return scores of any library as numpy's; its own bfloat16 becomes float32."""
    if isinstance(scores, torch.Tensor):
        return _numpy_of(scores) if scores.is_floating_point() else scores.cpu().numpy()
    array = np.asarray(scores)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _name(model: object) -> str:
    if isinstance(model, SelectedOutput | LimitedBatch | NumpyModel | SklearnModel):
        return repr(model)
    return str(getattr(model, "__name__", type(model).__name__))
