"""Models of HuggingFace transformers: in memory, or in a folder that `save_pretrained` wrote.

From a folder nothing is run and nothing is fetched: custom code, weights in pickles and kernels
from elsewhere are refused. A model whose folder lacks weights of its own is refused too, where the
library would draw them at random.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from rsverify._core.check import shown
from rsverify._core.errors import DataError, cause_of
from rsverify._core.optional import need
from rsverify.smoothing.data.fingerprint import input_hash, model_hash
from rsverify.smoothing.models.archive import check_torch

__all__ = ["HFModel"]

T = TypeVar("T")

# How the classes of models that classify end, and the function that makes one of a folder.
_CLASSIFIERS = {
    "ForImageClassification": "AutoModelForImageClassification",
    "ForImageClassificationWithTeacher": "AutoModelForImageClassification",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForAudioClassification": "AutoModelForAudioClassification",
    "ForSequenceClassificationWithSpeech": "AutoModelForAudioClassification",
    "ForVideoClassification": "AutoModelForVideoClassification",
}
_KERNELS = {None, "eager", "sdpa", "flex_attention"}


class HFModel(torch.nn.Module):
    r"""A classifier of HuggingFace transformers, as a callable from batch to scores.

    Parameters
    ----------
    model : torch.nn.Module or path-like
        A model such as ``ViTForImageClassification``; or a folder of ``save_pretrained``, from
        which it is loaded. Nothing is fetched, and no code of the folder is run.
    input : str, optional
        Which argument of the model a batch is: ``"pixel_values"``, ``"inputs_embeds"``,
        ``"input_values"``. By default the model's main one, and ``"inputs_embeds"`` where that
        is token numbers, to which no noise can be added.
    arguments : mapping, optional
        Further arguments, the same for every input, such as
        ``{"attention_mask": mask}`` for one text. Tensors of one row are repeated for the batch.

    Attributes
    ----------
    folder : Path or None
        Where the model was loaded from.

    Raises
    ------
    ModuleNotFoundError
        If `model` is a folder and transformers is not installed.
    FileNotFoundError
        If there is no such folder.
    DataError
        If the folder holds no classifier, lacks weights of it, is damaged, or needs code or
        kernels of its own; a ValueError.
    TypeError
        If `model` is not one of transformers.

    Notes
    -----
    For text, an input is the matrix of embeddings of one text, of shape (tokens, width):
    `embed` makes it. The noise is added to embeddings, and `sigma` and radii are in their
    units. The certificate does not cover exchanges of words as such.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> from rsverify.smoothing.models.huggingface import HFModel
    >>> class Tiny(torch.nn.Module):  # stands for a model of transformers
    ...     main_input_name, config = "pixel_values", SimpleNamespace(num_labels=2)
    ...     def forward(self, pixel_values):
    ...         return {"logits": pixel_values.flatten(1)[:, :2], "hidden_states": None}
    >>> model = HFModel(Tiny())
    >>> model.num_classes, model(torch.ones(3, 1, 2, 2)).shape
    (2, torch.Size([3, 2]))
    """

    def __init__(
        self,
        model: torch.nn.Module | str | os.PathLike[str],
        *,
        input: str | None = None,
        arguments: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.folder = Path(model) if isinstance(model, str | os.PathLike) else None
        made = load_folder(self.folder) if self.folder is not None else model
        config = getattr(made, "config", None)
        self._labels = getattr(config, "num_labels", None)
        if not isinstance(made, torch.nn.Module) or not isinstance(self._labels, int):
            raise TypeError(
                f"model={shown(model)} must be a classifier of transformers, or a folder of "
                "save_pretrained: it must have a config with num_labels"
            )
        self.model = made
        self._problem = getattr(config, "problem_type", None)
        main = str(getattr(made, "main_input_name", "pixel_values"))
        self.input = input or ("inputs_embeds" if main == "input_ids" else main)
        self.arguments = dict(arguments or {})

    def __repr__(self) -> str:
        return f"HFModel({type(self.model).__name__}, input={self.input!r})"

    def rsverify_hash(self) -> str:
        """Return an identifier of this model, compared when a run is resumed."""
        given = {
            name: input_hash(value) if isinstance(value, torch.Tensor) else repr(value)
            for name, value in sorted(self.arguments.items())
        }
        return f"HFModel {self.input} {given} of {model_hash(self.model)}"

    @property
    def num_classes(self) -> int:
        """Number of classes that the model's configuration states.

        Raises
        ------
        ValueError
            If its labels do not exclude each other, or it has a single output.
        """
        labels = int(self._labels or 0)
        if self._problem == "multi_label_classification":
            raise ValueError(
                f"{self!r} has {labels} labels that do not exclude each other: choose one, "
                "BinaryLogit(model, label=…) with num_classes=2, or --label"
            )
        if labels < 2 or self._problem == "regression":
            raise ValueError(
                f"{self!r} returns {labels} number(s) and no classes: a regression has no class to "
                "certify; one logit makes two classes by BinaryLogit(model), or --label 0"
            )
        return labels

    def embed(self, input_ids: torch.Tensor) -> torch.Tensor:
        r"""Return the embeddings of token numbers, for a model of text.

        Parameters
        ----------
        input_ids : Tensor of int, shape (..., tokens)
            As a tokenizer returns them.

        Returns
        -------
        Tensor, shape (..., tokens, width)
            What the model takes as ``inputs_embeds``.
        """
        with torch.no_grad():
            embedding: Callable[[torch.Tensor], torch.Tensor] = self.model.get_input_embeddings()  # type: ignore[operator]
            return embedding(input_ids).detach()

    def forward(self, batch: torch.Tensor) -> object:
        """Return the scores of a batch."""
        if self.input == "inputs_embeds" and not batch.is_floating_point():
            raise ValueError(
                "the batch is of token numbers, and the model is given embeddings: give "
                "HFModel(model, input='input_ids') (--model-arg input=input_ids)"
            )
        given = {k: _repeated(v, len(batch), batch.device) for k, v in self.arguments.items()}
        output = self.model(**{self.input: batch}, **given)
        logits = output.get("logits") if isinstance(output, Mapping) else None
        return output if logits is None else logits


def _repeated(value: object, rows: int, device: torch.device) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    row = value if value.ndim and len(value) == 1 else value[None]
    return row.to(device).expand(rows, *row.shape[1:])


def load_folder(folder: str | os.PathLike[str]) -> torch.nn.Module:
    """Return the classifier in a folder of `save_pretrained`; errors are those of `HFModel`."""
    folder = Path(folder)
    config = _configuration(folder)
    name = _class_of(config, folder)
    _check_nothing_runs(folder, config)
    need("transformers", extra="hubs")
    import transformers

    options = {
        "local_files_only": True,
        "trust_remote_code": False,
        "weights_only": True,
        "output_loading_info": True,
        "use_safetensors": True if list(folder.glob("*.safetensors")) else None,
    }
    make = getattr(transformers, name).from_pretrained
    try:
        with _without_bars():
            model, info = make(str(folder.resolve()), **options)
    except Exception as error:  # of many kinds
        raise DataError(f"{folder} cannot be loaded: {cause_of(error)}") from error
    lacking = sorted(map(str, info.get("missing_keys", ())))
    lacking += [str(entry) for entry in info.get("mismatched_keys", ())]
    if lacking:
        raise DataError(
            f"{folder} lacks {len(lacking)} weights of {type(model).__name__}, which would be "
            f"drawn at random: {', '.join(lacking[:3])}{', …' * (len(lacking) > 3)}; save the "
            "model again after it is trained to classify"
        )
    loaded: torch.nn.Module = model.eval()
    return loaded


def _configuration(folder: Path) -> dict[str, object]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} does not exist, or is not a folder: a model of the hub is fetched first, by "
            "from_pretrained(NAME).save_pretrained(DIRECTORY)"
        )
    path = folder / "config.json"
    if (folder / "adapter_config.json").exists():
        raise DataError(
            f"{folder} holds an adapter of another model: merge them (merge_and_unload), and save "
            "the whole"
        )
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: {folder} must be of save_pretrained")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a JSON file: {cause_of(error)}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} does not hold the configuration of a model")
    return content


def _class_of(config: Mapping[str, object], folder: Path) -> str:
    """Return the name of what makes a classifier of a folder."""
    named = config.get("architectures")
    kind = str(named[0]) if isinstance(named, list) and named else ""
    for ending, name in _CLASSIFIERS.items():
        if kind.endswith(ending):
            return name
    raise DataError(
        f"{folder} holds {kind or 'a model without a class'}; it must hold a classifier, such as "
        "…ForImageClassification or …ForSequenceClassification"
    )


def _check_nothing_runs(folder: Path, config: Mapping[str, object]) -> None:
    """Raise where a folder brings code, kernels of elsewhere, or weights that need leave."""
    if "auto_map" in config:
        raise DataError(
            f"{folder} needs code of its own (auto_map in config.json), which is not run: give "
            "FILE.py:FUNCTION that makes the model, and the weights as checkpoint"
        )
    for name, value in _everything(config):
        if "_implementation" in name and isinstance(value, str) and value not in _KERNELS:
            raise DataError(
                f"{folder} asks for the kernel {value!r} ({name} in config.json), which is not "
                "fetched: use 'eager' or 'sdpa'"
            )
    pickles = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickles and not list(folder.glob("*.safetensors")):
        check_torch(pickles[0])  # read as weights only


def _everything(value: object) -> Iterator[tuple[str, object]]:
    """Yield all names and values in a JSON object."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield str(name), part
            yield from _everything(part)
    elif isinstance(value, list):
        for part in value:
            yield from _everything(part)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Let transformers show no bars of its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
