"""What the blocks of the page on models start from: models and data as other packages make them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from support.onnx_files import write_model
from support.torchvision_standin import importable_timm

Names = dict[str, Any]
Made = Callable[[Path], Names]


def seeded(*layers: torch.nn.Module) -> torch.nn.Sequential:
    """Return a network of 3 classes for images of 3 × 16 × 16, always the same."""
    torch.manual_seed(0)
    return torch.nn.Sequential(*layers).eval()


def image() -> torch.Tensor:
    return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 3)).eval()


def of_transformers(kind: str, **options: Any) -> Any:
    """Return a small model of transformers with random weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind.partition('For')[0]}Config")(num_labels=3, **options)
    return getattr(transformers, kind)(config).eval()


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def vit() -> Any:
    return of_transformers("ViTForImageClassification", image_size=16, patch_size=8, **SMALL)


def timm(_: Path) -> Names:
    pytest.importorskip("huggingface_hub")
    with importable_timm():
        pytest.importorskip("timm", exc_type=ImportError)
    return {"x": torch.rand(3, 32, 32)}


def torchvision(_: Path) -> Names:
    try:
        import torchvision  # noqa: F401
    except Exception as error:  # ImportError, or an error of torch where they do not go together
        pytest.skip(f"torchvision: {error}")
    return {"x": torch.rand(3, 32, 32)}


def folder(tmp_path: Path) -> Names:
    processor = pytest.importorskip("transformers.models.vit.image_processing_pil_vit")
    vit().save_pretrained(tmp_path / "saved")
    processor.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(
        tmp_path / "saved"
    )
    return {"folder": tmp_path / "saved", "x": torch.rand(3, 24, 24)}


def text(_: Path) -> Names:
    bert = of_transformers("BertForSequenceClassification", vocab_size=50, **SMALL)
    return {"bert": bert, "tokens": torch.tensor([1, 7, 23, 2])}


def two_heads(_: Path) -> Names:
    class TwoHeads(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.other = network(), network()

        def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"main": self.main(batch), "other": -self.other(batch)}

    return {"two_heads": TwoHeads()}


def outputs(count: int) -> torch.nn.Module:
    return seeded(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, count))


def lightning(tmp_path: Path) -> Names:
    content = {
        "state_dict": {f"model.{k}": v for k, v in network().state_dict().items()},
        "hyper_parameters": {"lr": np.float64(0.1)},
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "epoch": 3,
    }
    torch.save(content, tmp_path / "last.ckpt")
    return {"architecture": network, "SCALAR": "numpy._core.multiarray.scalar"}


def safetensors(tmp_path: Path) -> Names:
    pytest.importorskip("safetensors.torch").save_file(
        network().state_dict(), tmp_path / "w.safetensors"
    )
    return {"architecture": network}


def program(tmp_path: Path) -> Names:
    exported = torch.export.export(network(), (torch.zeros(8, 3, 16, 16),))
    torch.export.save(exported, tmp_path / "net.pt2")
    return {}


def script(tmp_path: Path) -> Names:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network(), image()[None]), tmp_path / "net.ts")
    return {}


def onnx(tmp_path: Path) -> Names:
    pytest.importorskip("onnxruntime")
    write_model(tmp_path / "net.onnx")
    return {"x": torch.ones(3)}


def features(_: Path) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6)).astype(np.float32)
    return x, rng.integers(0, 3, size=60)


def pipeline(tmp_path: Path) -> Names:
    pytest.importorskip("sklearn")
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = features(tmp_path)
    forest = RandomForestClassifier(5, random_state=0)
    return {"pipeline": make_pipeline(StandardScaler(), forest).fit(x, y), "x": x[0]}


def numpy(_: Path) -> Names:
    weight = np.random.default_rng(0).normal(size=(6, 3))
    return {"function": lambda batch: np.tanh(batch) @ weight, "x": np.ones(6, dtype=np.float32)}


def jax(_: Path) -> Names:
    package = pytest.importorskip("jax")
    weight = package.numpy.asarray(np.random.default_rng(0).normal(size=(6, 3)))
    network = SimpleNamespace(apply=lambda parameters, batch: package.nn.relu(batch @ parameters))
    return {"jax": package, "network": network, "parameters": weight, "x": np.ones(6)}


def keras(_: Path) -> Names:
    package = pytest.importorskip("keras")
    layers = [package.layers.Flatten(), package.layers.Dense(3)]
    return {"keras_model": package.Sequential([package.Input((4, 4, 1)), *layers]),
            "x": np.ones((4, 4, 1), dtype=np.float32)}  # fmt: skip


def boosted(package: str, kind: str, name: str) -> Made:
    def make(tmp_path: Path) -> Names:
        made = getattr(pytest.importorskip(package), kind)(n_estimators=5, max_depth=2)
        x, y = features(tmp_path)
        return {name: made.fit(x, y), "x": x[0]}

    return make


MODELS: dict[str, Made] = {
    "torch": lambda _: {"model": network()},
    "timm": timm,
    "torchvision": torchvision,
    "transformers, images": lambda _: {"vit": vit()},
    "transformers, a folder": folder,
    "transformers, text": text,
    "several outputs": two_heads,
    "one logit": lambda _: {"one_logit": outputs(1)},
    "several labels": lambda _: {"tagger": outputs(5)},
    "a checkpoint of training": lightning,
    "safetensors": safetensors,
    "an exported program": program,
    "TorchScript": script,
    "ONNX": onnx,
    "half precision": lambda _: {"model": network()},
    "scikit-learn, pipelines": pipeline,
    "numpy": numpy,
    "JAX": jax,
    "Keras": keras,
    "XGBoost": boosted("xgboost", "XGBClassifier", "xgb_classifier"),
    "LightGBM": boosted("lightgbm", "LGBMClassifier", "lgbm_classifier"),
}
"""Heading of the page -> what its block starts from, beside `x`."""


# ---- Data: all of them the same three images of one class each, in other forms.

IMAGES = np.random.default_rng(0).integers(0, 256, size=(3, 3, 8, 8)).astype(np.uint8)
LABELS = np.array([0, 1, 2])


def pillow() -> list[Any]:
    pillow = pytest.importorskip("PIL.Image")
    return [pillow.fromarray(np.ascontiguousarray(x.transpose(1, 2, 0))) for x in IMAGES]


def on_disk(_: Path) -> Names:
    np.save("images.npy", IMAGES.astype(np.float32) / 255)
    return {}


def hugging(_: Path) -> Names:
    datasets = pytest.importorskip("datasets")
    return {
        "datasets": datasets,
        "list_of_images": pillow(),
        "hf_dataset": datasets.Dataset.from_dict({"image": pillow(), "label": LABELS.tolist()}),
    }


class Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        yield from zip(torch.from_numpy(IMAGES).float() / 255, LABELS.tolist(), strict=True)


def folder_of_images(_: Path) -> Names:
    for name, made in zip("abc", pillow(), strict=True):
        place = Path("val") / name
        place.mkdir(parents=True)
        made.save(place / "1.png")
    return {}


def frame(_: Path) -> Names:
    import pandas as pd

    table = pd.DataFrame(IMAGES.reshape(3, -1).astype(np.float64) / 255)
    return {"frame": table.assign(species=LABELS)}


def of_jax(_: Path) -> Names:
    return {"jax": pytest.importorskip("jax")}


def dictionaries(_: Path) -> Names:
    floats = torch.from_numpy(IMAGES).float() / 255
    pairs = zip(floats, LABELS.tolist(), strict=True)
    return {"dictionaries": [{"photo": x, "kind": y, "name": "a"} for x, y in pairs]}


def tensors(_: Path) -> Names:
    floats = torch.from_numpy(IMAGES).float() / 255
    repeated = torch.cat([floats, floats]), torch.from_numpy(np.tile(LABELS, 2))
    return {"tensor_dataset": torch.utils.data.TensorDataset(*repeated)}


DATA: dict[str, Made] = {
    "arrays": lambda _: {},
    "an array without labels": lambda _: {},
    "an array on the disk": on_disk,
    "bytes": lambda _: {"in_bytes": IMAGES},
    "channels last": lambda _: {"channels_last": (IMAGES / np.float32(255)).transpose(0, 2, 3, 1)},
    "torch data set": tensors,
    "images of Pillow": lambda _: {"picture": pillow()[0]},
    "dictionaries": dictionaries,
    "data set of HuggingFace": hugging,
    "iterable data set of HuggingFace": hugging,
    "iterable data set of torch": lambda _: {"Stream": Stream},
    "folder of images": folder_of_images,
    "DataFrame": frame,
    "several labels per item": lambda _: {"tags": np.array([[0, 1], [1, 0], [0, 1]])},
    "arrays of JAX": of_jax,
}
"""Heading of the page -> what its block starts from."""
