r"""Two classes from one number: a model of one logit, or one label of a multi-label model."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from rsverify._core.check import check_choice, check_size
from rsverify.smoothing.data.fingerprint import model_hash
from rsverify.smoothing.models.adapters import Model
from rsverify.smoothing.outputs import scores_in

__all__ = ["BinaryLogit", "NumberKind"]

NumberKind = Literal["logit", "probability"]
"""What the one number of a binary model is."""


class BinaryLogit(torch.nn.Module):
    r"""The two-class classifier that one logit, or one probability, stands for.

    Class 1 where the logit is above 0, or the probability above ½, else class 0. The scores are
    (0, logit), whose softmax is the sigmoid of the logit; or (1 − p, p).

    Parameters
    ----------
    model : torch.nn.Module or callable
        Maps a batch to one number per input, of shape (b,) or (b, 1); or with `label` to numbers
        (b, labels), each label present or absent by itself.
    label : int, optional
        Which label of a multi-label model: the certificate is then about that label alone, 1
        where it is present.
    kind : {"logit", "probability"}
        What the number is: ``"probability"`` for a model that ends in a sigmoid.

    Raises
    ------
    TypeError
        If `model` is not callable or `label` not an integer; when called, if the model returns
        no tensor.
    ValueError
        If `kind` is another; when called, if there are several numbers and no `label`, or no
        such label.

    Notes
    -----
    *Guarantee*: none of its own. A certificate is about the class 0 or 1 of this one number.

    Examples
    --------
    >>> import torch
    >>> from rsverify import SmoothedClassifier
    >>> from rsverify.smoothing.models.binary import BinaryLogit
    >>> def first_number(batch):
    ...     return batch[:, :1]
    >>> smoothed = SmoothedClassifier(BinaryLogit(first_number), 2, sigma=0.5)
    >>> smoothed.predict(torch.tensor([1.0, 0.0]), n=100, seed=0)
    1
    >>> BinaryLogit(torch.nn.Identity(), label=1)(torch.tensor([[3.0, -2.0]]))
    tensor([[ 0., -2.]])
    """

    num_classes = 2

    def __init__(
        self, model: Model, *, label: int | None = None, kind: NumberKind = "logit"
    ) -> None:
        super().__init__()
        if not callable(model):
            raise TypeError(f"model={model!r} must be a torch.nn.Module or a callable")
        self.model = model
        self.label = None if label is None else check_size("label", label, 0)
        self.kind = check_choice("kind", kind, get_args(NumberKind))

    def __repr__(self) -> str:
        which = "" if self.label is None else f", label={self.label}"
        return f"BinaryLogit({type(self.model).__name__}{which}, kind={self.kind!r})"

    def rsverify_hash(self) -> str:
        """Return an identifier of this model, compared when a run is resumed."""
        return f"BinaryLogit {self.label} {self.kind} of {model_hash(self.model)}"

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the scores of the two classes, of shape (b, 2)."""
        numbers = scores_in(self.model(batch), 1, len(batch))
        if not isinstance(numbers, torch.Tensor):
            raise TypeError(
                f"model returned {type(numbers).__name__}; it must return a tensor of numbers"
            )
        number = self._number(numbers, len(batch))
        if self.kind == "probability":
            return torch.stack([1 - number, number], dim=1)
        return torch.stack([torch.zeros_like(number), number], dim=1)

    def _number(self, numbers: torch.Tensor, rows: int) -> torch.Tensor:
        """Return the one number of each row."""
        shape = tuple(numbers.shape)
        table = numbers[:, None] if numbers.ndim == 1 else numbers
        if table.ndim != 2 or len(table) != rows:
            raise ValueError(
                f"model returned numbers of shape {shape} for {rows} inputs; it must return "
                f"({rows},), ({rows}, 1), or ({rows}, labels) with label"
            )
        labels = table.shape[1]
        if self.label is None and labels != 1:
            raise ValueError(
                f"label=None must be one of 0 to {labels - 1} (--label): model returned {labels} "
                "numbers per input; for classes that exclude each other leave BinaryLogit out"
            )
        label = self.label or 0
        if label >= labels:
            raise ValueError(
                f"label={label} must be one of 0 to {labels - 1}: model returned {labels} numbers "
                "per input"
            )
        return table[:, label]
