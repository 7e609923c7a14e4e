"""`rsverify certify` with the kinds of models that people have, and with discrete noise."""

import numpy as np
import pytest
import torch

from rsverify import SmoothedClassifier
from rsverify.cli import app as cli
from rsverify.tables.reader import read_metadata, read_table

SIGMA, N = 0.5, 300
X = np.array([[51, 102], [0, 255], [204, 0]], dtype=np.float32) / np.float32(255)

MODELS = """
import numpy as np
import torch
from rsverify import SmoothedClassifier
from rsverify.smoothing.models.adapters import NumpyModel

def net():
    torch.manual_seed(0)
    return torch.nn.Linear(2, 3)

class Pair(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()
    def forward(self, batch):
        return {"features": batch, "heads": (self.net(batch), -self.net(batch))}

def pair():
    return Pair()

def weights(batch):
    return batch @ np.array([[1, -1, 0], [0, 1, -2]], dtype=np.float32)

def function():
    return NumpyModel(weights)

def estimator():
    class Estimator:
        classes_ = np.array(["a", "b", "c"])
        n_features_in_ = 2
        def predict_proba(self, x):
            scores = np.exp(weights(x))
            return scores / scores.sum(axis=1, keepdims=True)
    return Estimator()

def discrete():
    return SmoothedClassifier(net(), 3, 0.5, noise="discrete", lattice=1 / 255)

made = net()
fitted = estimator()
wrapped = NumpyModel(weights)
smoothed = SmoothedClassifier(net(), 3, 0.5)
X = np.array([[51, 102], [0, 255], [204, 0]], dtype=np.float32) / np.float32(255)
pairs = [(x, 1) for x in X]
arrays = (X, [1, 1, 1])
number = 3
"""


@pytest.fixture
def models(tmp_path):
    (tmp_path / "cli_models.py").write_text(MODELS)
    return tmp_path / "cli_models.py"


def certify(capsys, models, function, *options, sizes=True):
    np.save(models.parent / "x.npy", X)
    out = models.parent / "table.tsv"
    sizes = ("--sigma", SIGMA, "--num-classes", 3) if sizes else ()
    arguments = (f"{models}:{function}", models.parent / "x.npy", out, "--n", N, "--seed", 5)
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in ("certify", *arguments, *sizes, *options)])
    return stopped.value.code, capsys.readouterr().err, out


def counts(out):
    table = read_table(out)
    return table[[c for c in table if c.startswith("count_")]].to_numpy().tolist()


def expected(model, **noise):
    smoothed = SmoothedClassifier(model, 3, SIGMA, **noise)
    return [list(smoothed.certify(x, n=N, seed=(5, i)).counts) for i, x in enumerate(X)]


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 3)


def test_numpy_function_and_estimator(capsys, models):
    weights = torch.tensor([[1.0, -1, 0], [0, 1, -2]])
    for function in ("function", "estimator"):
        code, message, out = certify(capsys, models, function)
        assert code == 0, message
        assert counts(out) == expected(lambda batch: batch @ weights)
        out.unlink()
        out.with_suffix(".json").unlink()


@pytest.mark.parametrize(
    ("named", "function"),
    [("made", "net"), ("fitted", "estimator"), ("wrapped", "function"), ("smoothed", "net")],
)
@pytest.mark.parametrize("data", ["pairs", "arrays"])
def test_what_is_there_already_needs_no_function(named, function, data, capsys, models):
    """A model and a data set at the top of a file, as scripts have them."""
    cut = ["--n", str(N), "--n0", "10", "--num-classes", "3"]
    found = []
    for name in (named, function):
        arguments = [f"{models}:{name}", f"{models}:{data}", str(models.parent / f"{name}.tsv")]
        given = cut[:-2] if name == "smoothed" else [*cut, "--sigma", "0.5"]
        with pytest.raises(SystemExit) as end:
            cli.main(["certify", *arguments, *given])
        assert end.value.code == 0, capsys.readouterr().err
        found.append(read_table(arguments[2]).filter(regex="predict|radius|count_|label"))
    assert found[0].equals(found[1])
    assert found[0]["label"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("made", ["--model-arg", "k=3"], "made is not a function"),
        ("number", [], "must return a model"),
        ("X", [], "must return a model"),
        ("absent", [], "has no function 'absent'"),
    ],
)
def test_what_is_there_and_does_not_fit(model, options, message, capsys, models):
    sizes = ["--num-classes", "3", "--sigma", "0.5"]
    with pytest.raises(SystemExit) as end:
        cli.main(["certify", f"{models}:{model}", f"{models}:arrays", "o.tsv", *sizes, *options])
    assert end.value.code == 64
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_part_of_the_output_is_part_of_the_configuration(capsys, models):
    code, message, out = certify(capsys, models, "pair", "--output", "heads.0")
    assert code == 0, message
    assert counts(out) == expected(net())
    code, message, _ = certify(capsys, models, "pair", "--output", "heads.1")
    assert code >= 64
    assert "model" in message
    code, message, _ = certify(capsys, models, "pair", "--output", "logits")
    assert code >= 64


def test_missing_part_is_one_line_that_names_the_others(capsys, models):
    code, message, _ = certify(capsys, models, "pair", "--output", "logits")
    assert code == 64
    assert "there is no 'logits' in a dict with the keys 'features', 'heads'" in message


def test_checkpoint(capsys, models):
    path = models.parent / "w.pt"
    torch.save({"state_dict": torch.nn.DataParallel(net(seed=3)).state_dict()}, path)
    code, message, out = certify(capsys, models, "net", "--checkpoint", path)
    assert code == 0, message
    assert counts(out) == expected(net(seed=3))
    code, message, _ = certify(capsys, models, "pair", "--checkpoint", path)
    assert code == 65
    assert "2 missing: net.weight, net.bias; 2 unexpected: weight, bias" in message
    code, message, _ = certify(capsys, models, "function", "--checkpoint", path)
    assert code == 64
    assert "a checkpoint needs a torch.nn.Module" in message


def test_discrete_noise(capsys, models):
    code, message, out = certify(capsys, models, "net", "--lattice", "1/255")
    assert code == 0, message
    discrete = expected(net(), noise="discrete", lattice=1 / 255)
    assert counts(out) == discrete
    assert counts(out) != expected(net())
    assert read_metadata(out)["configuration"]["lattice"] == "1/255"
    code, message, _ = certify(capsys, models, "net")
    assert code >= 64
    assert "noise" in message
    out.unlink()
    code, message, out = certify(capsys, models, "discrete", sizes=False)
    assert code == 0, message
    assert counts(out) == discrete


def test_discrete_noise_that_does_not_fit_is_one_line(capsys, models):
    for options, wanted in (
        (("--lattice", "1/7"), "which is not a multiple of lattice=1/7; round it first"),
        (("--lattice", "a"), "lattice='a' must be a fraction such as 1/255"),
        (("--lattice", "1/0"), "must be a fraction"),
    ):
        code, message, _ = certify(capsys, models, "net", *options)
        assert code == 64
        assert wanted in message
    for options in (("--lattice", "1/510"), ("--sigma", 1), ("--output", "0")):
        code, message, _ = certify(capsys, models, "discrete", *options, sizes=False)
        assert code == 64
        assert "must be left out" in message


# ---- Options for models and data as others have them.

FOREIGN = """
import torch

def net(classes=3, scale=1.0, bias=True):
    torch.manual_seed(0)
    made = torch.nn.Linear(12, classes, bias=bias)
    with torch.no_grad():
        made.weight.mul_(scale)
    return torch.nn.Sequential(torch.nn.Flatten(), made)

def lower(batch):
    return batch - 0.5

class Halved(torch.nn.Module):
    def forward(self, batch):
        return batch / 2
"""
BYTES = np.random.default_rng(0).integers(0, 256, (3, 3, 2, 2), dtype=np.uint8)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with modules named like those of Python and torch, where everything is."""
    monkeypatch.chdir(tmp_path)
    for name in ("torch.py", "random.py"):
        (tmp_path / name).write_text(
            FOREIGN.replace("import torch", "import sys; torch = sys.modules['torch']")
        )
    np.savez("d.npz", x=BYTES, y=np.array([0, 1, 2]))
    return tmp_path


def foreign(capsys, *arguments, sigma=SIGMA):
    given = ("certify", *arguments, "--sigma", sigma, "--n", N, "--seed", 5, "--force")
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in given])
    return stopped.value.code, " ".join(capsys.readouterr().err.split())


def of_bytes(preprocess=None, classes=3, **options):
    scope = {}
    exec(FOREIGN, scope)
    smoothed = SmoothedClassifier(
        scope["net"](classes, **options), classes, SIGMA, preprocess=preprocess
    )
    x = BYTES.astype(np.float32) / 255
    return [list(smoothed.certify(x[i], n=N, seed=(5, i)).counts) for i in range(3)]


@pytest.mark.usefixtures("place")
def test_bytes_are_divided_and_normalized(capsys):
    code, message = foreign(capsys, "torch.py:net", "d.npz", "t.tsv", "--num-classes", 3)
    assert code == 64
    assert "--scale 1/255" in message
    shared = ("torch.py:net", "d.npz", "t.tsv", "--num-classes", 3, "--scale", "1/255")
    for options, preprocess in (
        ((), None),
        (("--mean", "0.5,0.25,0", "--std", "2,2,1"), lambda b: (b - torch.tensor(
            [0.5, 0.25, 0])[:, None, None]) / torch.tensor([2.0, 2, 1])[:, None, None]),
        (("--preprocess", "random.py:lower"), lambda b: b - 0.5),
        (("--preprocess", "random.py:Halved"), lambda b: b / 2),
        (("--model-arg", "scale=3.0", "--preprocess", "none", "--device", "auto"), None),
    ):  # fmt: skip
        code, message = foreign(capsys, *shared, *options)
        assert code == 0, message
        scale = {"scale": 3.0} if "scale=3.0" in options else {}
        assert counts("t.tsv") == of_bytes(preprocess, **scale)


def test_files_named_like_modules_replace_none(capsys, place):
    import random

    code, message = foreign(
        capsys, "random.py:net", "d.npz", "t.tsv", "--num-classes", 3, "--scale", "1/255"
    )
    assert code == 0, message
    assert random.__file__ != str(place / "random.py")
    assert torch.__file__ != str(place / "torch.py")


@pytest.mark.usefixtures("place")
def test_entries_of_a_checkpoint_and_what_stands_beside(capsys):
    scope = {}
    exec(FOREIGN, scope)
    states = {k: scope["net"](scale=s).state_dict() for k, s in (("model", 1.0), ("ema", 4.0))}
    torch.save({**states, "best": np.float64(0.5)}, "w.pt")
    shared = ("torch.py:net", "d.npz", "t.tsv", "--num-classes", 3, "--scale", "1/255")
    shared = (*shared, "--checkpoint", "w.pt")
    code, message = foreign(capsys, *shared)
    assert code == 65
    names = ("numpy._core.multiarray.scalar", "numpy.dtype")
    allowed = [option for name in names for option in ("--allow-global", name)]
    assert " ".join(allowed) in message
    assert "pickle" not in message
    code, message = foreign(capsys, *shared, *allowed)
    assert code == 65
    assert "say which by key (--key): model, ema" in message
    code, message = foreign(capsys, *shared, *allowed, "--key", "ema")
    assert code == 0, message
    assert counts("t.tsv") == of_bytes(scale=4.0)


@pytest.mark.usefixtures("place")
def test_one_label_of_several(capsys):
    np.savez("tags.npz", x=BYTES, y=np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0]]))
    shared = ("torch.py:net", "tags.npz", "t.tsv", "--scale", "1/255")
    code, message = foreign(capsys, *shared, "--label", 2)
    assert code == 0, message
    assert read_table("t.tsv")["label"].tolist() == [1, 1, 0]
    assert len(counts("t.tsv")[0]) == 2
    code, message = foreign(capsys, *shared, "--num-classes", 3)
    assert code == 64
    assert "--label" in message
    code, message = foreign(capsys, *shared, "--label", 2, "--num-classes", 3)
    assert code == 64
    assert "num_classes=3 must be 2, or be left out, with label=2" in message


def test_a_folder_of_images_and_channels_last(capsys, place):
    pillow = pytest.importorskip("PIL.Image")
    for i, x in enumerate(BYTES):
        (place / "val" / "abc"[i]).mkdir(parents=True)
        image = pillow.fromarray(x.transpose(1, 2, 0)).resize((6, 4), pillow.Resampling.NEAREST)
        image.save(place / "val" / "abc"[i] / "1.png")
    code, message = foreign(
        capsys, "torch.py:net", "val", "t.tsv", "--num-classes", 3, "--image-size", 2
    )
    assert code == 0, message
    assert read_table("t.tsv")["label"].tolist() == [0, 1, 2]
    np.savez("last.npz", x=BYTES.transpose(0, 2, 3, 1))
    shared = ("torch.py:net", "last.npz", "t.tsv", "--num-classes", 3, "--scale", "1/255")
    code, message = foreign(capsys, *shared, "--hwc")
    assert code == 0, message
    assert counts("t.tsv") == of_bytes()


@pytest.mark.usefixtures("place")
def test_a_folder_of_transformers(capsys):
    transformers = pytest.importorskip("transformers")
    processors = pytest.importorskip("transformers.models.vit.image_processing_pil_vit")
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config = transformers.ViTConfig(
        image_size=4, patch_size=2, num_labels=3, num_hidden_layers=1, **sizes
    )
    transformers.ViTForImageClassification(config).save_pretrained("vit")
    processors.ViTImageProcessorPil(size={"height": 4, "width": 4}).save_pretrained("vit")
    shared = ("hf:vit", "d.npz", "t.tsv", "--scale", "1/255")
    code, message = foreign(capsys, *shared, "--preprocess", "auto")
    assert code == 0, message
    with_processor = counts("t.tsv")
    code, message = foreign(capsys, *shared, "--preprocess", "vit")
    assert code == 0, message
    assert counts("t.tsv") == with_processor
    code, message = foreign(capsys, *shared)  # images of 2 × 2, where the model takes 4 × 4
    assert code == 64
    assert "was trained on inputs that went through ImageProcessor" in message
    assert "give --preprocess auto" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mean", "0.5"), "std must be given: --mean and --std go together"),
        (("--mean", "0.5", "--std", "a"), "std='a' must be a number, or one per channel"),
        (("--mean", "0.5", "--std", "1", "--preprocess", "auto"), "preprocess='auto' must be left"),
        (("--preprocess", "auto"), "torch.py:net does not say how its inputs were prepared"),
        (("--preprocess", "other"), "preprocess='other' must be auto, none, FILE.py:FUNCTION"),
        (("--model-arg", "scale"), "model_arg='scale' must be NAME=VALUE"),
        (("--model-arg", "scale=1", "--model-arg", "scale=2"), "must be given once"),
        (("--model-arg", "depth=3"), "unexpected keyword argument 'depth'"),
        (("--scale", "0"), "scale='0' must be a positive number, such as 1/255"),
        (("--key", "ema"), "key must be left out without checkpoint"),
        (("--x", "image", "--scale", "1/255"), "x='image' must be an array of d.npz"),
    ],
)
@pytest.mark.usefixtures("place")
def test_options_that_do_not_fit(options, message, capsys):
    code, said = foreign(capsys, "torch.py:net", "d.npz", "t.tsv", "--num-classes", 3, *options)
    assert code == 64
    assert message in said
