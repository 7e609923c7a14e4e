"""What people give in place of a model: each refused in a line that says what to give instead."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify._core.errors import DataError  # noqa: E402
from rsverify.smoothing.models.adapters import SklearnModel  # noqa: E402
from rsverify.smoothing.models.checkpoint import load_weights  # noqa: E402
from rsverify.smoothing.models.load import load_model, load_module  # noqa: E402

X = torch.linspace(-1, 1, 6).reshape(2, 3)


def net() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2)).eval()


class Fitted:
    """A classifier of two classes, as scikit-learn has them."""

    classes_ = np.arange(2)

    def fit(self) -> None:
        """Do nothing."""

    def predict(self, x: Any) -> Any:
        return self.predict_proba(x).argmax(axis=1)

    def predict_proba(self, x: Any) -> Any:
        return np.stack([1 - x[:, 0], x[:, 0]], axis=1)


class WithoutProbabilities:
    classes_ = np.arange(2)

    def fit(self) -> None:
        """Do nothing."""

    def predict(self, x: Any) -> Any:
        return np.zeros(len(x), dtype=int)


MADE: dict[str, tuple[Any, str]] = {
    "a class": (
        lambda: torch.nn.Linear,
        r"returned the class Linear; .* a model of that class, Linear",
    ),
    "a class of scikit-learn": (lambda: Fitted, "returned the class Fitted"),
    "weights": (lambda: net().state_dict(), r"returned weights by name; .*--checkpoint"),
    "a method": (
        lambda: Fitted().predict,
        "returned the method predict of a Fitted; .*the classifier itself",
    ),
    "a method of scores": (lambda: Fitted().predict_proba, "the method predict_proba of a Fitted"),
    "a vowel": (lambda: collections.OrderedDict(a=1), "returned an OrderedDict; it must"),
    "no probabilities": (WithoutProbabilities, "no predict_proba: .*CalibratedClassifierCV"),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_a_function_returns_in_place_of_a_model(kind: str) -> None:
    made, message = MADE[kind]
    with pytest.raises(TypeError, match=message) as caught:
        load_model(made)
    assert "\n" not in str(caught.value)


def test_a_method_of_a_users_class_is_a_model() -> None:
    class Mine:
        def scores(self, batch: torch.Tensor) -> torch.Tensor:
            return batch[:, :2]

    assert load_model(lambda: Mine().scores)(X).shape == (2, 2)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("net.py", ValueError, r"model='net\.py' must say which function .*: net\.py:FUNCTION"),
        ("net.py:", ValueError, r"must say which function of it makes the model: net\.py:FUNC"),
        ("absent", FileNotFoundError, r"absent does not exist: a model is .*hf:DIRECTORY"),
        ("org/name", FileNotFoundError, "org/name does not exist: a model is a saved module"),
        ("timm:", FileNotFoundError, "timm: does not exist: a model is"),
        ("hf:org/name", FileNotFoundError, r"fetched first, by from_pretrained.*save_pretrained"),
        (".", DataError, "a folder of save_pretrained is given as hf:"),
    ],
)
def test_names_that_are_no_model(
    model: str,
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("net = None\n")
    with pytest.raises(error, match=message):
        load_model(model)


def test_a_module_in_a_dictionary(tmp_path: Path) -> None:
    module = net()
    torch.save({"epoch": 3, "model": module, "ema": None}, tmp_path / "run.pt")
    assert torch.equal(load_model(tmp_path / "run.pt", allow_pickle=True)(X), module(X))
    torch.save({"model": module, "ema": net()}, tmp_path / "two.pt")
    with pytest.raises(DataError, match=r"holds more than one module: model, ema; .*FUNCTION"):
        load_model(tmp_path / "two.pt", allow_pickle=True)


@pytest.mark.parametrize("write", [lambda m, p: p.write_bytes(pickle.dumps(m)), joblib.dump])
def test_pickles_of_other_packages(write: Any, tmp_path: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    fitted = linear.LogisticRegression().fit(rng.normal(size=(20, 3)), rng.integers(0, 2, 20))
    write(fitted, tmp_path / "m.pkl")
    with pytest.raises(DataError, match="is a pickle, which runs code"):
        load_model(tmp_path / "m.pkl")
    loaded = load_model(tmp_path / "m.pkl", allow_pickle=True)
    assert isinstance(loaded, SklearnModel)
    expected = fitted.predict_proba(X.numpy())
    assert np.allclose(loaded(X).numpy(), expected)
    with pytest.raises(DataError, match="holds a LogisticRegression; it must hold a whole module"):
        load_module(tmp_path / "m.pkl", allow_pickle=True)
    write(net(), tmp_path / "n.pkl")
    assert torch.equal(load_model(tmp_path / "n.pkl", allow_pickle=True)(X), net()(X))


def test_a_module_whose_class_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found where one stands; of a program that was run itself it is nowhere."""
    monkeypatch.chdir(tmp_path)
    Path("of_a_file_here.py").write_text(
        "import torch\nclass Net(torch.nn.Linear):\n    pass\n"
        "def save():\n    torch.save(Net(3, 2), 'net.pt')\n    Net.__module__ = '__main__'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import of_a_file_here

    torch.save(of_a_file_here.Net(3, 2), "net.pt")
    monkeypatch.undo()
    monkeypatch.delitem(__import__("sys").modules, "of_a_file_here")
    with pytest.raises(DataError, match="No module named 'of_a_file_here'; start in the folder"):
        load_model(tmp_path / "net.pt", allow_pickle=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    assert load_model("net.pt", allow_pickle=True)(X).shape == (2, 2)
    content = Path("net.pt").read_bytes()
    Path("main.pt").write_bytes(content)
    from zipfile import ZipFile

    with ZipFile("net.pt") as archive:
        entries = {e.filename: archive.read(e) for e in archive.infolist()}
    with ZipFile("main.pt", "w") as archive:
        for name, part in entries.items():
            archive.writestr(name, part.replace(b"of_a_file_here\n", b"__main__\n"))
    with pytest.raises(DataError, match=r"run itself \(__main__\); .*a file that the program imp"):
        load_model("main.pt", allow_pickle=True)


def test_layers_without_a_shape_are_named(tmp_path: Path) -> None:
    lazy = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
    message = r"model=Sequential must have all its weights, and 1\.weight gets its shape from"
    with pytest.raises(ValueError, match=message):
        SmoothedClassifier(lazy, 2, 0.5).certify(X[0], n=20, n0=5, seed=0)
    torch.save(net().state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        load_weights(lazy, tmp_path / "w.pt")
    lazy(X)
    assert torch.equal(load_weights(lazy, tmp_path / "w.pt")(X), net()(X))


def test_files_that_hold_no_weights_say_what_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X.numpy())
    np.save(tmp_path / "x.npy", X.numpy())
    (tmp_path / "net.py").write_text("import torch\n")
    for name, kind in (
        ("d.npz", "an archive of numpy arrays"),
        ("x.npy", "a numpy array"),
        ("net.py", "a file of another kind"),
    ):
        with pytest.raises(DataError, match=rf"{name} is {kind}.* must hold weights by name"):
            load_weights(net(), tmp_path / name)


@pytest.mark.filterwarnings("error")
def test_a_pickle_in_place_of_weights_is_one_line(tmp_path: Path) -> None:
    """Without torch's own warning that it is a pickle of another protocol."""
    (tmp_path / "n.pkl").write_bytes(pickle.dumps(net()))
    with pytest.raises(DataError, match=r"n\.pkl is damaged, or holds more than tensors"):
        load_weights(net(), tmp_path / "n.pkl")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda b: b.new_zeros(len(b), 2, 5, 5), "scores of every position, as of a segmentation"),
        (lambda b: b.new_zeros(len(b), 7), "The model has 7 classes: give num_classes=7"),
        (lambda b: b.new_zeros(len(b), 2).to(torch.complex64), "complex64; they must be real"),
        (lambda b: b.new_zeros(len(b), 2) > 0, "bool; they must be real"),
        (lambda b: b.new_zeros(len(b), 2).to_sparse(), r"sparse_coo; give scores.to_dense\(\)"),
    ],
)
def test_scores_that_are_none_of_classes(model: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        SmoothedClassifier(model, 2, 0.5).certify(X[0], n=20, n0=5, seed=0)


def test_errors_of_a_model_say_on_which_batch(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def forward(self, batch: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return batch * mask

    def wrong(_: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.zeros((3, 2)) @ np.zeros((5, 2)))

    for model, message in (
        (Two(), r"batch of shape \(1, 3\): TypeError: .*'mask'; it must take a batch alone"),
        (wrong, r"model failed on a batch of shape \(1, 3\): ValueError: matmul"),
    ):
        smoothed = SmoothedClassifier(model, 2, 0.5)
        with pytest.raises(ValueError, match=message):
            certify_dataset(smoothed, X, tmp_path / "t.tsv", n=20, n0=5, progress=False)


def test_a_search_of_scikit_learn_is_told_by_its_best() -> None:
    """Its results hold masked arrays, which joblib cannot hash."""
    selection = pytest.importorskip("sklearn.model_selection")
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    found = [
        SklearnModel(
            selection.GridSearchCV(
                linear.LogisticRegression(), {"C": [1.0, c], "solver": ["lbfgs"]}, cv=2
            ).fit(x, y * sign + (1 - sign) // 2)
        )
        for c, sign in ((2.0, 1), (2.0, 1), (2.0, -1))
    ]
    hashes = [model.rsverify_hash() for model in found]
    assert hashes[0] == hashes[1] != hashes[2]
    certificate = SmoothedClassifier(found[0], 2, 0.5).certify(X[0], n=50, n0=10, seed=0)
    assert certificate.n == 50
