"""ONNX models, run by ONNX Runtime (``pip install 'rsverify[onnx]'``)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsverify._core.errors import DataError, UnavailableError, cause_of
from rsverify._core.optional import missing
from rsverify.smoothing.device import scores_on
from rsverify.smoothing.models.adapters import LimitedBatch, Scores
from rsverify.smoothing.models.archive import check_file

__all__ = ["OnnxModel", "load_onnx"]

_TYPES = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}


class OnnxModel:
    """An ONNX model of one input, as a callable from batch to scores.

    Batches go through the host's memory, whatever the device.

    Parameters
    ----------
    path : str or os.PathLike
        An ``.onnx`` file. Its first dimension of input and output is the batch.
    output : str or int, optional
        Name or position of the output that holds the scores; needed where there are several.
    device : str
        ``"cpu"``, or ``"cuda"`` for a build of ONNX Runtime that supports it.

    Raises
    ------
    ModuleNotFoundError
        If ONNX Runtime is not installed.
    FileNotFoundError
        If the file does not exist.
    DataError, UnavailableError
        If the file is not an ONNX model of one input, or the device is not there; ValueErrors.
    ValueError
        If `output` names none.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, output: str | int | None = None, device: str = "cpu"
    ) -> None:
        self.path = Path(path)
        self.session = _session(self.path, device)
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _TYPES or not inputs[0].shape:
            raise DataError(
                f"{self.path} takes {', '.join(f'{i.name}: {i.type}' for i in inputs)}; it must "
                "take one floating tensor whose first dimension is the batch"
            )
        self.input = inputs[0].name
        self.dtype = _TYPES[inputs[0].type]
        size = inputs[0].shape[0]
        self.batch_size = size if isinstance(size, int) else None
        """The one batch size that the model takes, or None where it takes any."""
        self.output = _output([o.name for o in self.session.get_outputs()], output, self.path)

    def __repr__(self) -> str:
        return f"OnnxModel({self.path.name!r}, output={self.output!r})"

    def rsverify_hash(self) -> str:
        """Return an identifier of this model, compared when a run is resumed."""
        content = hashlib.blake2b(self.path.read_bytes(), digest_size=8).hexdigest()
        return f"OnnxModel {content} {self.output}"

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the output that holds the scores of a batch."""
        array = batch.detach().cpu().numpy().astype(self.dtype, copy=False)
        try:
            (scores,) = self.session.run([self.output], {self.input: array})
        except Exception as error:  # ONNX Runtime's errors share no class of their own
            raise ValueError(
                f"{self!r} refuses a batch of shape {array.shape}: {cause_of(error)}"
            ) from error
        return scores_on(batch.device, scores)


def load_onnx(
    path: str | os.PathLike[str], *, output: str | int | None = None, device: str = "cpu"
) -> Scores:
    """Return an `OnnxModel` that takes batches of any size, also where the file fixes one."""
    model = OnnxModel(path, output=output, device=device)
    if model.batch_size is None:
        return model
    return LimitedBatch(model, model.batch_size, model.batch_size)


def _session(path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise missing("onnxruntime") from None
    check_file(path)
    kind = torch.device(device).type
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(kind)
    if provider not in onnxruntime.get_available_providers():
        raise UnavailableError(
            f"device={device!r} is not supported by the onnxruntime installed, which has "
            f"{', '.join(onnxruntime.get_available_providers())}"
        )
    index = torch.device(device).index or 0
    options = [{"device_id": index}] if kind == "cuda" else [{}]
    try:
        return onnxruntime.InferenceSession(
            str(path), providers=[provider], provider_options=options
        )
    except Exception as error:  # as above
        raise DataError(
            f"{path} is not an ONNX model that can be run: {cause_of(error)}"
        ) from error


def _output(names: list[str], output: str | int | None, path: Path) -> str:
    if output is None and len(names) == 1:
        return names[0]
    if output in names:
        return str(output)
    position = int(str(output)) if str(output).isdecimal() else -1
    if 0 <= position < len(names):
        return names[position]
    raise ValueError(f"output={output!r} must be one of the outputs of {path}: {', '.join(names)}")
