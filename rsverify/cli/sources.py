"""Models and data as they are named on a command line: loaded, and made ready to be certified."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from rsverify._core.errors import DataError
from rsverify._core.load_function import load_function, load_named
from rsverify.cli.console import print_warning
from rsverify.cli.errors import failure_of

if TYPE_CHECKING:
    import torch

    from rsverify.noise import Noise
    from rsverify.smoothing.classifier import SmoothedClassifier
    from rsverify.smoothing.noise.removal import Mask, Shorten

_AUTO = "auto"
_WORDS = {"true": True, "false": False, "none": None}


class Loading(TypedDict):
    """Options of `load_model` and `as_model`."""

    checkpoint: Path | None
    key: str | None
    output: str | None
    label: int | None
    allow_globals: Sequence[str]
    allow_pickle: bool


class Reading(TypedDict):
    """Options of `Inputs`."""

    x: str | None
    y: str | None
    label: int | None
    scale: str | None
    size: int | None
    hwc: bool


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model and what goes with it, as given."""

    model: str
    loading: Loading
    arguments: Sequence[str]
    num_classes: int | None
    noise: str | None
    lattice: str | None
    mask: str | None
    channel_axis: int | None
    mean: str | None
    std: str | None
    preprocess: str | None
    device: str

    def classifiers(self, sigmas: Sequence[float | None]) -> list[SmoothedClassifier]:
        """Return a classifier of the one model for each sigma."""
        from rsverify.smoothing.classifier import SmoothedClassifier

        step = None if self.lattice is None else _step(self.lattice)
        network = self._network()
        if isinstance(network, SmoothedClassifier):
            for sigma in sigmas:
                self._check_noise(network)
                self._check_agreement(network, sigma, step)
            return [network]
        classes = self._classes(network)
        if classes is None or (None in sigmas and self.noise is None):
            name = "--num-classes" if classes is None else "--sigma, or --noise,"
            raise ValueError(f"{name} must be given: {self.model} does not say it")
        preprocess = self._preprocess(network)
        return [
            SmoothedClassifier(
                network,
                classes,
                preprocess=preprocess,
                device=self.device,
                noise=noise,
                lattice=step,
                mask=None if self.mask is None else _mask(self.mask),
                channel_axis=self.channel_axis,
            )
            for noise in self._noises(sigmas)
        ]

    def _noises(self, sigmas: Sequence[float | None]) -> list[Noise]:
        """Return the noise of each table to write."""
        from rsverify.noise import Gaussian, parse_noise

        if self.noise is None:
            return [Gaussian(sigma) for sigma in sigmas if sigma is not None]
        return [parse_noise(self.noise)]

    def _network(self) -> SmoothedClassifier | Callable[[torch.Tensor], torch.Tensor]:
        """Return the model, or what a factory returns if that is a smoothed classifier."""
        from rsverify.smoothing.classifier import SmoothedClassifier
        from rsverify.smoothing.models.hubs import hub_of
        from rsverify.smoothing.models.load import as_model, load_model, names_a_function

        given = model_arguments(self.arguments)
        if hub_of(self.model) is None and names_a_function(self.model):
            made = _call(self.model, **given)
            if isinstance(made, SmoothedClassifier):
                return made
            return as_model(made, name=self.model, device=self.device, **self.loading)
        return load_model(
            self.model,
            device=self.device,
            num_classes=self.num_classes,
            arguments=given,
            **self.loading,
        )

    def _classes(self, network: object) -> int | None:
        """Return the number of classes: as given, else what the model says."""
        label = self.loading["label"]
        if label is not None and self.num_classes not in (None, 2):
            raise ValueError(
                f"num_classes={self.num_classes} must be 2, or be left out, with label={label}: "
                "the label is there or not"
            )
        said = getattr(network, "num_classes", None)
        stated = said if isinstance(said, int) and said > 1 else None
        return stated if self.num_classes is None else self.num_classes

    def _preprocess(self, network: object) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Return what stands between an input and the model."""
        from rsverify.smoothing.models.preprocess import ImageProcessor, Normalize, own_preprocess

        if (self.mean is None) != (self.std is None):
            absent = "mean" if self.mean is None else "std"
            raise ValueError(f"{absent} must be given: --mean and --std go together")
        if self.mean is not None and self.std is not None:
            if self.preprocess is not None:
                raise ValueError(
                    f"preprocess={self.preprocess!r} must be left out with mean and std"
                )
            made = Normalize(_numbers("mean", self.mean), _numbers("std", self.std))
            return made.to(self.device)
        if self.preprocess is None:
            self._warn_of_own(network)
            return None
        if self.preprocess == "none":
            return None
        if self.preprocess == _AUTO:
            own = own_preprocess(network)
            if own is None:
                raise ValueError(
                    f"preprocess='auto' must be something else: {self.model} does not say how its "
                    "inputs were prepared; give --mean and --std, or FILE.py:FUNCTION"
                )
            return own.to(self.device)
        if Path(self.preprocess).is_dir() or self.preprocess.endswith(".json"):
            return ImageProcessor(self.preprocess).to(self.device)
        if ":" not in self.preprocess:
            raise ValueError(
                f"preprocess={self.preprocess!r} must be auto, none, FILE.py:FUNCTION, or a folder "
                "with preprocessor_config.json"
            )
        function = load_function(self.preprocess)
        return function() if isinstance(function, type) else function

    def _warn_of_own(self, network: object) -> None:
        """Say that a model was trained on other inputs, where it does and nothing is done."""
        from rsverify.smoothing.models.preprocess import own_preprocess

        try:
            own = own_preprocess(network)
        except ValueError as error:
            print_warning(f"nothing is done to the inputs of {self.model}, and {error}")
            return
        if own is not None:
            print_warning(
                f"{self.model} was trained on inputs that went through {own}, which is not "
                "applied: give --preprocess auto, or none if the model or the data have it"
            )

    def _check_noise(self, made: SmoothedClassifier) -> None:
        """Raise where the noise is another one than that of a factory's classifier."""
        from rsverify.noise import parse_noise

        own = made.noise.distribution
        if self.noise is not None and parse_noise(self.noise) != own:
            raise ValueError(
                f"noise={self.noise} must be left out: {self.model} returns a classifier with "
                f"noise={own.brief}"
            )

    def _check_agreement(
        self, made: SmoothedClassifier, sigma: float | None, step: Fraction | None
    ) -> None:
        """Raise where an option says something else than the classifier that a factory made."""
        given = {
            "num_classes": self.num_classes,
            "sigma": sigma,
            "lattice": step,
            "mask": self.mask,
            "channel_axis": self.channel_axis,
            **self.loading,
            "mean": self.mean,
            "std": self.std,
            "preprocess": self.preprocess,
        }
        for name, value in given.items():
            owner = made.noise if name == "lattice" else made
            own = None if name == "preprocess" else getattr(owner, name, None)
            if isinstance(own, float) and math.isnan(own):  # sigma, of another noise
                own = None
            if value is not None and value is not False and value != [] and value != own:
                has = f" with {name}={own}" if own is not None else ""
                raise ValueError(
                    f"{name}={value} must be left out: {self.model} returns a classifier{has}"
                )


def model_arguments(given: Sequence[str]) -> dict[str, object]:
    """Return arguments of a function, given as ``NAME=VALUE`` each."""
    found: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"model_arg={text!r} must be NAME=VALUE, such as num_classes=10")
        if name in found:
            raise ValueError(f"model_arg={text!r} must be given once: {name} has a value already")
        found[name] = _value(value)
    return found


def _value(text: str) -> object:
    """Return a number, truth value, list, … as Python writes it, else the text itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text
    return value


def _numbers(name: str, text: str) -> list[float]:
    """Return numbers separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"{name}={text!r} must be a number, or one per channel separated by commas"
        ) from None


def _mask(text: str) -> Mask | Shorten:
    """Return what takes the place of hidden entries: numbers, a token, or a function."""
    if ":" in text:
        return load_function(text)
    values = [int(v) if v.is_integer() else v for v in _numbers("mask", text)]
    return values[0] if len(values) == 1 else values


def _step(lattice: str) -> Fraction:
    try:
        return Fraction(lattice)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"lattice={lattice!r} must be a fraction such as 1/255") from None


def dataset_of(data: str, split: str | None, reading: Reading) -> object:
    """Return the data set that is named, read as the options say."""
    from rsverify.smoothing.data.containers import Inputs
    from rsverify.smoothing.data.convert import check_scale

    if Path(data).suffix in {".npy", ".npz"} and not Path(data).is_dir():
        from rsverify.smoothing.data.files import read_arrays

        named = {"x": reading["x"], "y": reading["y"]} if data.endswith(".npz") else {}
        dataset: object = read_arrays(Path(data), split, **named)
        reading = {**reading, "x": None, "y": None} if named else reading
    else:
        dataset = _dataset(data, split)
    options = {k: v for k, v in reading.items() if v is not None and v is not False}
    if not options:
        return dataset
    if isinstance(dataset, Inputs):
        name = next(iter(options))
        raise ValueError(f"{name}={options[name]} must be left out: {data} returns Inputs")
    scale = check_scale(reading["scale"])
    return Inputs(
        dataset,
        x=reading["x"],
        y=reading["y"],
        label=reading["label"],
        scale=scale,
        size=reading["size"],
        hwc=reading["hwc"],
    )


def _dataset(data: str, split: str | None) -> object:
    """Return a dataset made by a factory, or what is in a folder."""
    if Path(data).is_dir():
        from rsverify.smoothing.data.folders import read_folder

        return read_folder(Path(data), split)
    if ":" in data:
        return _call(data) if split is None else _call(data, split)
    kinds = "data must end in .npy or .npz, be FILE.py:FUNCTION, or a folder of images"
    if not Path(data).exists():
        raise FileNotFoundError(f"{data} does not exist: {kinds}")
    if data.endswith(".py"):
        raise ValueError(
            f"data={data!r} must say which function of it returns the data set: {data}:FUNCTION"
        )
    raise DataError(
        f"{data} is a file of another kind: {kinds}; a function returns what any other file holds"
    )


def _call(target: str, *arguments: str, **named: object) -> object:
    from rsverify.smoothing.models.load import is_made

    factory = load_named(target)
    if not callable(factory) or is_made(factory):
        # A model, or a data set.
        if arguments or named:
            option = f"split={arguments[0]!r}" if arguments else f"model_arg={[*named]}"
            raise ValueError(f"{option} must be left out: {target} is not a function")
        return factory
    shown = [*map(repr, arguments), *(f"{name}={value!r}" for name, value in named.items())]
    called = f"{target}({', '.join(shown)})" if shown else target
    try:
        return factory(*arguments, **named)
    except (Exception, SystemExit) as error:  # code of the user raises errors of all kinds
        raise failure_of(called, error) from error
