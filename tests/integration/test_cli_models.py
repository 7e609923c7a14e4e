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
