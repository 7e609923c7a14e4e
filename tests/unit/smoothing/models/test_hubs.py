"""Models by name: timm, torchvision, folders of transformers; what is fetched, run and refused."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from support.torchvision_standin import importable_timm  # noqa: E402

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify._core.errors import DataError, UnavailableError  # noqa: E402
from rsverify.smoothing.models import hubs  # noqa: E402
from rsverify.smoothing.models.binary import BinaryLogit  # noqa: E402
from rsverify.smoothing.models.hubs import hub_of  # noqa: E402
from rsverify.smoothing.models.huggingface import HFModel, load_folder  # noqa: E402
from rsverify.smoothing.models.load import load_model  # noqa: E402
from rsverify.smoothing.models.preprocess import ImageProcessor, own_preprocess  # noqa: E402

X = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def vit(seed: int = 0, labels: int = 3) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    config = transformers.ViTConfig(image_size=16, patch_size=8, num_labels=labels, **SMALL)
    return transformers.ViTForImageClassification(config).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    vit().save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def changed(folder: Path, **entries: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_names_of_collections() -> None:
    assert hub_of("timm:vit_tiny.augreg_in21k") == ("timm", "vit_tiny.augreg_in21k")
    assert hub_of("hf:a/b:c") == ("hf", "a/b:c")
    for name in ("timm", "timm:", "torch:nn", "models.py:timm", "C:\\hf", Path("net.pt")):
        assert hub_of(name) is None


# ---- transformers.


def test_a_folder_gives_the_model_that_was_saved(saved: Path) -> None:
    loaded = load_model(f"hf:{saved}")
    assert isinstance(loaded, HFModel)
    assert loaded.num_classes == 3
    assert torch.allclose(loaded(X[None]), vit()(X[None]).logits, atol=1e-6)
    assert not torch.allclose(loaded(X[None]), vit(seed=1)(X[None]).logits, atol=1e-3)
    votes = [
        SmoothedClassifier(m, 3, 0.5).counts(X, n=64, seed=0).tolist() for m in (loaded, vit())
    ]
    assert votes[0] == votes[1]
    with pytest.raises(DataError, match=r"num_classes=4 must be 3, as .* states"):
        load_model(f"hf:{saved}", num_classes=4)


def test_a_model_of_a_function_may_be_one_of_transformers(saved: Path) -> None:
    assert isinstance(load_model(vit), HFModel)
    path = saved / "w.pt"
    torch.save({"model": vit(seed=1).state_dict()}, path)
    for model in (vit, f"hf:{saved}"):
        loaded = load_model(model, checkpoint=path)
        assert torch.allclose(loaded(X[None]), vit(seed=1)(X[None]).logits, atol=1e-6)


def test_text_by_embeddings() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=50, num_labels=3, initializer_range=0.5, **SMALL)
    bert = transformers.BertForSequenceClassification(config).eval()
    tokens = torch.tensor([[1, 7, 23, 2], [1, 9, 2, 0]])
    mask = torch.tensor([[1, 1, 1, 0]])
    model = HFModel(bert)
    embedded = model.embed(tokens)
    assert embedded.shape == (2, 4, 16)
    assert not embedded.requires_grad
    assert torch.allclose(model(embedded), bert(tokens).logits, atol=1e-6)
    masked = HFModel(bert, arguments={"attention_mask": mask})
    expected = bert(tokens, attention_mask=mask.expand(2, 4)).logits
    assert torch.allclose(masked(embedded), expected, atol=1e-6)
    assert not torch.allclose(masked(embedded), model(embedded), atol=1e-4)
    others = [model, HFModel(bert, arguments={"attention_mask": mask * 0})]
    assert masked.rsverify_hash() not in [other.rsverify_hash() for other in others]
    certificate = SmoothedClassifier(model, 3, 0.05).certify(embedded[0], n0=20, n=200, seed=0)
    assert certificate.n == 200


def test_models_whose_labels_are_no_classes() -> None:
    model = HFModel(vit(labels=4))
    assert model.num_classes == 4
    model.model.config.problem_type = "multi_label_classification"
    tagger = HFModel(model.model)
    with pytest.raises(ValueError, match=r"4 labels that do not exclude each other.*--label"):
        _ = tagger.num_classes
    votes = SmoothedClassifier(BinaryLogit(tagger, label=2), 2, 0.5).counts(X, n=64, seed=0)
    assert votes.sum() == 64
    with pytest.raises(ValueError, match=r"returns 1 number\(s\) and no classes"):
        _ = HFModel(vit(labels=1)).num_classes


def test_token_numbers_are_not_smoothed() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(vocab_size=50, num_labels=3, **SMALL)
    bert = transformers.BertForSequenceClassification(config)
    with pytest.raises(TypeError, match=r"takes token numbers.*give HFModel\(model\)"):
        SmoothedClassifier(bert, 3, 0.5)


def test_what_is_no_classifier_of_transformers() -> None:
    for model in (torch.nn.Linear(2, 2), SimpleNamespace(config=SimpleNamespace(num_labels=2))):
        with pytest.raises(TypeError, match="must be a classifier of transformers, or a folder"):
            HFModel(model)


def test_weights_that_would_be_drawn_at_random_are_refused(saved: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.ViTModel(vit().config).save_pretrained(saved)
    with pytest.raises(DataError, match="holds ViTModel; it must hold a classifier"):
        load_folder(saved)
    changed(saved, architectures=["ViTForImageClassification"])
    with pytest.raises(DataError, match=r"lacks \d+ weights .* drawn at random: .*classifier"):
        load_folder(saved)


def test_a_head_of_another_size_is_refused(saved: Path) -> None:
    changed(saved, id2label={str(i): f"L{i}" for i in range(5)}, label2id={})
    with pytest.raises(DataError, match=r"lacks .* weights|cannot be loaded"):
        load_folder(saved)


HOSTILE_MODULE = """
import os
os.mkdir({marker!r})
from transformers import ViTForImageClassification as Net, ViTConfig as Config
"""


@pytest.mark.parametrize("known", [True, False])
def test_code_in_a_folder_is_not_run(known: bool, saved: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (saved / "modeling.py").write_text(HOSTILE_MODULE.format(marker=str(marker)))
    code = {
        "AutoConfig": "modeling.Config",
        "AutoModelForImageClassification": "modeling.Net",
    }
    changed(saved, auto_map=code, **({} if known else {"model_type": "mine"}))
    with pytest.raises(DataError, match=r"needs code of its own .auto_map in config.json., which"):
        load_model(f"hf:{saved}")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
def test_kernels_of_elsewhere_are_not_fetched(name: str, saved: Path) -> None:
    changed(saved, **{name: "somebody/kernels"})
    with pytest.raises(DataError, match="asks for the kernel 'somebody/kernels'"):
        load_folder(saved)


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.marker,)


def test_weights_in_a_pickle_run_nothing(saved: Path, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", saved / "pytorch_model.bin"
    (saved / "model.safetensors").unlink()
    torch.save({**vit().state_dict(), "more": Payload(marker)}, path)
    with pytest.raises(DataError, match="cannot be loaded") as caught:
        load_folder(saved)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    torch.save(vit().state_dict(), path)
    assert torch.allclose(load_folder(saved)(X[None]).logits, vit()(X[None]).logits, atol=1e-6)


def test_folders_that_hold_no_model(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist, or is not a folder"):
        load_model("hf:google/vit-base-patch16-224")  # nothing is fetched
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"config\.json does not exist"):
        load_folder(tmp_path / "empty")
    (saved / "adapter_config.json").write_text("{}")
    with pytest.raises(DataError, match="holds an adapter of another model"):
        load_folder(saved)
    (saved / "adapter_config.json").unlink()
    weights = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(weights[:-50])
    with pytest.raises(DataError, match="cannot be loaded"):
        load_folder(saved)
    for content in ("{", "[]"):
        (saved / "config.json").write_text(content)
        with pytest.raises(DataError, match=r"config\.json"):
            load_folder(saved)
    with pytest.raises(
        ValueError, match="is not a file: a folder of save_pretrained is given as hf:"
    ):
        load_model(saved)


def test_a_folder_says_how_its_inputs_were_prepared(saved: Path) -> None:
    processors = pytest.importorskip("transformers.models.vit.image_processing_pil_vit")
    assert own_preprocess(HFModel(saved)) is None
    processors.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(saved)
    assert isinstance(own_preprocess(HFModel(saved)), ImageProcessor)
    assert own_preprocess(HFModel(vit())) is None


# ---- timm.


@pytest.fixture
def timm() -> Any:
    with importable_timm():
        return pytest.importorskip("timm", exc_type=ImportError)


@pytest.mark.usefixtures("timm")
def test_timm_by_name(tmp_path: Path) -> None:
    random = {"pretrained": False}
    torch.manual_seed(0)
    made = load_model("timm:resnet10t", num_classes=4, arguments=random).eval()
    x = torch.rand(3, 32, 32)
    assert made(x[None]).shape == (1, 4)
    assert made.num_classes == 4
    mean, std = made.pretrained_cfg["mean"], made.pretrained_cfg["std"]
    expected = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.allclose(own_preprocess(made)(x[None])[0], expected, atol=1e-6)
    # A checkpoint takes the place of trained weights.
    torch.save(
        {"state_dict": made.state_dict(), "state_dict_ema": made.state_dict()}, tmp_path / "w"
    )
    again = load_model("timm:resnet10t", num_classes=4, checkpoint=tmp_path / "w")
    assert torch.equal(again.eval()(x[None]), made(x[None]))
    with pytest.raises(ValueError, match=r"timm:resnet10t cannot be made with .*no_such=1"):
        load_model("timm:resnet10t", arguments=random | {"no_such": 1})
    for name, near in (
        ("resnet10", ", such as resnet10t, .*: timm.list_models"),
        ("ResNet10T", ", such as resnet10t"),
        ("no_such_net", r": timm\.list_models\(\) has all names"),
    ):
        with pytest.raises(ValueError, match=rf"model='timm:{name}' must be a model of timm{near}"):
            load_model(f"timm:{name}", arguments=random)


def test_trained_weights_that_cannot_be_fetched(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: str, **options: Any) -> None:
        assert options == {"pretrained": True}
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", refuses)
    with pytest.raises(UnavailableError, match=r"no route.*--checkpoint.*--model-arg pretrained=F"):
        load_model("timm:resnet10t")


def test_tries_to_fetch_are_not_printed(
    timm: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What fetches logs each of its tries; the line of the error says it all."""
    logger = logging.getLogger("huggingface_hub")

    def tries(*_: Any, **__: Any) -> None:
        logger.warning("Retrying in 1s")
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", tries)
    before = logger.level
    with pytest.raises(UnavailableError):
        load_model("timm:resnet10t")
    assert not caplog.records
    assert logger.level == before


# ---- torchvision, in whose place a package of the same functions stands.


def test_torchvision_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def get_model(name: str, **options: Any) -> torch.nn.Module:
        asked.append((name, options))
        return torch.nn.Linear(2, options.get("num_classes", 7))

    package = SimpleNamespace(models=SimpleNamespace(get_model=get_model))
    monkeypatch.setattr(hubs, "need", lambda *_, **__: None)
    monkeypatch.setattr(hubs.importlib, "import_module", lambda _: package)
    load_model("torchvision:resnet18")
    load_model("torchvision:resnet18", num_classes=3, arguments={"weights": None, "width": 2})
    assert asked == [
        ("resnet18", {"weights": "DEFAULT"}),
        ("resnet18", {"weights": None, "width": 2, "num_classes": 3}),
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ValueError("The parameter 'num_classes' expected value 1000 but got 3 instead."),
            r"but got 3 instead; trained weights have classes of their own: .*weights=None",
        ),
        (OSError("no route"), r"cannot be fetched.*--checkpoint.*--model-arg weights=None"),
        (ValueError("Unknown model resnet8"), "must be a model of torchvision, such as resnet18"),
    ],
)
def test_what_torchvision_refuses(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_model(*_: Any, **__: Any) -> None:
        raise error

    models = SimpleNamespace(
        get_model=get_model, list_models=lambda: ["resnet18"], __name__="torchvision.models"
    )
    monkeypatch.setattr(hubs, "need", lambda *_, **__: None)
    monkeypatch.setattr(hubs.importlib, "import_module", lambda _: SimpleNamespace(models=models))
    with pytest.raises(ValueError, match=message):
        load_model("torchvision:resnet8", num_classes=3)


def test_packages_that_are_not_there_or_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(hubs, "need", lambda *_, **__: None)
    monkeypatch.setattr(hubs.importlib, "import_module", broken)
    with pytest.raises(
        UnavailableError, match=r"torchvision cannot be imported: .*goes with torch"
    ):
        load_model("torchvision:resnet18")
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for name in ("timm:a", "torchvision:a"):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'rsverify\[hubs\]'"):
            load_model(name)


def test_arguments_go_to_functions_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"arguments=.* must be left out: .* is a model already"):
        load_model(torch.nn.Linear(2, 2), arguments={"a": 1})
    (tmp_path / "net.pt").write_bytes(b"a")
    with pytest.raises(ValueError, match=r"arguments=.* must be left out: .*is a file"):
        load_model(tmp_path / "net.pt", arguments={"a": 1})
    with pytest.raises(ValueError, match="key must be left out without checkpoint"):
        load_model(torch.nn.Linear(2, 2), key="ema")


def test_token_numbers_for_a_model_of_embeddings_name_the_option() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(vocab_size=9, num_labels=3, **SMALL)
    bert = transformers.BertForSequenceClassification(config)
    tokens = torch.tensor([[1, 2]])
    with pytest.raises(ValueError, match=r"is of token numbers.*--model-arg input=input_ids"):
        HFModel(bert)(tokens)
    assert HFModel(bert, input="input_ids")(tokens).shape == (1, 3)
