"""`rsverify certify`: a saved module and an array file become a table."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rsverify import SmoothedClassifier, certify_dataset
from rsverify.bounds.margin import find_ordering
from rsverify.cli import app as cli
from rsverify.tables.reader import read_metadata, read_table

SIGMA, N = 0.5, 400


def halves():
    """Return a net that votes for class 1 where the sum of the input is positive."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[-1.0] * 4, [1.0] * 4]))
    return net.eval()


@pytest.fixture
def data(tmp_path):
    x = np.array([[[1, 1], [1, 1]], [[-1, -1], [-1, -1]], [[0, 0], [0, 0]]], dtype=np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.array([1, 1, 0]))
    return tmp_path / "data.npz"


@pytest.fixture
def exported(tmp_path):
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(halves(), (torch.zeros(2, 2, 2),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    return tmp_path / "net.pt2"


@pytest.fixture
def pickled(tmp_path):
    torch.save(halves(), tmp_path / "net.pt")
    return tmp_path / "net.pt"


@pytest.fixture
def scripted(tmp_path):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(halves(), torch.zeros(2, 2, 2)), tmp_path / "net.ts")
    return tmp_path / "net.ts"


def certify(capsys, *arguments):
    options = ("--sigma", SIGMA, "--num-classes", 2, "--n", N, "--seed", 5)
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in ("certify", *arguments, *options)])
    return stopped.value.code, capsys.readouterr()


@pytest.mark.parametrize("kind", ["exported", "pickled", "scripted"])
def test_table_holds_what_the_library_certifies(request, capsys, tmp_path, data, kind):
    module = request.getfixturevalue(kind)
    out = tmp_path / "table.tsv"
    code, captured = certify(capsys, module, data, out)
    assert code == 65
    assert "--allow-pickle" in captured.err
    code, captured = certify(capsys, module, data, out, "--allow-pickle")

    assert code == 0, captured.err
    assert "Certified accuracy of 3 inputs" in captured.out
    table = read_table(out)
    smoothed = SmoothedClassifier(halves(), num_classes=2, sigma=SIGMA)
    for i, (x, label) in enumerate(zip(np.load(data)["x"], (1, 1, 0), strict=True)):
        expected = smoothed.certify(x, n=N, seed=(5, i))
        row = table.iloc[i]
        assert (row["idx"], row["label"]) == (i, label)
        assert row["predict"] == expected.prediction
        assert row[["count_0", "count_1"]].tolist() == list(expected.counts)
        assert expected.radius - 1e-6 <= row["radius"] <= expected.radius
        assert row["correct"] == (expected.prediction == label)
    assert table["predict"].tolist() == [1, 0, -1]
    configuration = read_metadata(out)["configuration"]
    assert configuration["sigma"] == SIGMA
    assert configuration["seed"] == 5


def test_resumed_table_is_the_same(capsys, tmp_path, data, pickled):
    whole, resumed = tmp_path / "whole.tsv", tmp_path / "resumed.tsv"
    for out in (whole, resumed):
        assert certify(capsys, pickled, data, out, "--allow-pickle")[0] == 0
    lines = resumed.read_text().splitlines(keepends=True)
    resumed.write_text("".join(lines[:2]) + lines[2][:9])
    assert certify(capsys, pickled, data, resumed, "--allow-pickle", "--no-resume")[0] == 73

    assert certify(capsys, pickled, data, resumed, "--allow-pickle")[0] == 0
    first, second = read_table(whole), read_table(resumed)
    assert first.drop(columns="time").equals(second.drop(columns="time"))


def test_every_other_input_and_unknown_labels(capsys, tmp_path, data, pickled):
    np.save(tmp_path / "x.npy", np.load(data)["x"])
    out = tmp_path / "table.tsv"
    arguments = (pickled, tmp_path / "x.npy", out, "--allow-pickle", "--skip", 2)

    assert certify(capsys, *arguments)[0] == 0
    table = read_table(out)
    assert table["idx"].tolist() == [0, 2]
    assert table["label"].tolist() == [-1, -1]
    assert table["correct"].tolist() == [0, 0]


def test_pickled_module_needs_leave(capsys, tmp_path, data, pickled):
    code, captured = certify(capsys, pickled, data, tmp_path / "table.tsv")

    assert code == 65
    assert "runs code of its own (" in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "table.tsv").exists()


def test_weights_alone_are_no_module(capsys, tmp_path, data):
    torch.save(halves().state_dict(), tmp_path / "weights.pt")
    code, captured = certify(capsys, tmp_path / "weights.pt", data, tmp_path / "table.tsv")

    assert code == 65
    assert "holds only weights" in captured.err


@pytest.mark.parametrize(
    ("expected", "name", "content", "message"),
    [
        (66, "data.txt", None, "must end in .npy or .npz"),
        (65, "data.npz", {"left": np.zeros((2, 2))}, "it must hold x"),
        (65, "data.npz", {"x": np.zeros((0, 2))}, "must hold at least one input"),
        (65, "data.npz", {"x": np.zeros(2)}, "must hold inputs along its first axis"),
        (65, "data.npz", {"x": np.zeros((2, 2)), "y": np.full(2, 0.5)}, "which are integers"),
        (65, "data.npz", {"x": np.zeros((2, 2)), "y": np.zeros(3, int)}, "each of the 2 inputs"),
        (64, "data.npz", {"x": np.zeros((2, 2, 2), np.uint8)}, "must be floating"),
    ],
)
def test_bad_data_is_one_line(capsys, tmp_path, pickled, expected, name, content, message):
    if content is not None:
        np.savez(tmp_path / name, **content)
    table = tmp_path / "table.tsv"
    code, captured = certify(capsys, pickled, tmp_path / name, table, "--allow-pickle")

    assert code == expected
    assert message in captured.err
    assert captured.err.count("\n") == 1


MODELS = Path(__file__).parents[1] / "support" / "shared_models.py"


def by_factories(capsys, model, data, out, *more):
    options = ("--n", N, "--seed", 5, "--bound", "cohen")
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in ("certify", f"{MODELS}:{model}", data, out, *options, *more)])
    return stopped.value.code, capsys.readouterr()


def test_factories_make_the_classifier_and_the_data(capsys, tmp_path):
    images = f"{MODELS}:images"
    code, captured = by_factories(capsys, "smoothed", images, tmp_path / "own.tsv", "--max", 3)
    assert code == 0, captured.err
    given = ("--sigma", 0.25, "--num-classes", 10, "--max", 3)
    assert by_factories(capsys, "net", images, tmp_path / "net.tsv", *given)[0] == 0
    own, net = read_table(tmp_path / "own.tsv"), read_table(tmp_path / "net.tsv")

    assert own.drop(columns="time").equals(net.drop(columns="time"))
    assert own["label"].tolist() == [0, 1, 2]
    origin = read_metadata(tmp_path / "own.tsv")["execution"]["origin"]
    assert origin == {
        "command": "certify",
        "model": f"{MODELS}:smoothed",
        "data": images,
        "split": None,
    }


def test_split_chooses_the_data(capsys, tmp_path):
    out = tmp_path / "table.tsv"
    code, _ = by_factories(capsys, "smoothed", f"{MODELS}:images", out, "--split", "small")
    assert code == 0
    assert len(read_table(out)) == 5
    x = np.zeros((2, 1, 8, 8), np.float32)
    np.savez(tmp_path / "data.npz", x_train=x, x_test=x[:1], y_test=[4])
    out.unlink()
    given = (tmp_path / "data.npz", out, "--split", "test")
    assert by_factories(capsys, "smoothed", *given)[0] == 0
    assert read_table(out)["label"].tolist() == [4]


def test_target_radius_writes_decisions(capsys, tmp_path):
    out = tmp_path / "table.tsv"
    more = ("--target-radius", 0.05, "--max", 4, "--bound", "exact")
    code, captured = by_factories(capsys, "smoothed", f"{MODELS}:images", out, *more)
    assert code == 0, captured.err
    assert set(read_table(out)["bound"]) == {"anytime"}
    assert "anytime" in captured.out


def test_several_target_radii_write_a_column_each(capsys, tmp_path):
    out = tmp_path / "table.tsv"
    radii = ("--target-radius", 0.05, "--target-radius", 0.2, "--target-radius", 0.1)
    more = (*radii, "--max", 3, "--bound", "exact")
    code, captured = by_factories(capsys, "smoothed", f"{MODELS}:images", out, *more)
    assert code == 0, captured.err
    table = read_table(out)
    names = [name for name in table.columns if name.startswith("decision_")]
    assert names == ["decision_0.05", "decision_0.1", "decision_0.2"]
    assert set(table["bound"]) == {"anytime"}


def test_a_precision_writes_the_upper_end(capsys, tmp_path):
    out = tmp_path / "table.tsv"
    more = ("--relative-precision", 0.4, "--max", 3, "--bound", "exact")
    code, captured = by_factories(capsys, "smoothed", f"{MODELS}:images", out, *more)
    assert code == 0, captured.err
    table = read_table(out)
    assert (table["radius_upper"] >= table["radius"]).all()
    assert set(table["precise"]) <= {0, 1}
    wrong = ("--precision", 0.1, "--relative-precision", 0.4)
    code, captured = by_factories(capsys, "smoothed", f"{MODELS}:images", tmp_path / "t", *wrong)
    assert code == 64
    assert "relative_precision" in captured.err


ORDINARY = ("--sigma", 0.25, "--num-classes", 10)


@pytest.mark.parametrize(
    ("model", "data", "more", "message"),
    [
        ("many_shapes", "images", ORDINARY, "scores of shape (64, 3) for 64 inputs; with num_cla"),
        ("nan_logits", "images", ORDINARY, "input 0: model returned NaN scores for"),
        ("broken", "images", ORDINARY, "broken failed: RuntimeError: no such checkpoint"),
        ("nothing", "images", ORDINARY, "has no function 'nothing'"),
        ("net", "images", (), "--num-classes must be given"),
        ("smoothed", "images", ("--sigma", 0.5), "sigma=0.5 must be left out"),
        ("smoothed", "images", ("--split", "valid"), "images('valid') failed: KeyError: 'valid'"),
        ("smoothed", "in_bytes", ("--input-range", 0, 1), "must be within input_range=(0.0, 1.0)"),
        ("smoothed", "with_nan", (), "input 3: x contains NaN or infinity"),
        ("smoothed", "images", ("--autocast", "int8"), "autocast='int8' must be one of"),
        ("smoothed", "images", ("--bound", "betting", "--compile"), "must be left out for bound="),
    ],
)
def test_ordinary_failures_are_one_line(capsys, tmp_path, model, data, more, message):
    target = f"{MODELS}:{data}"
    code, captured = by_factories(capsys, model, target, tmp_path / "table.tsv", *more)

    assert code == (65 if data != "images" else 64)
    said = [line for line in captured.err.splitlines() if not line.startswith("estimate: ")]
    assert message in said[0]
    assert len(said) == 1


def test_data_that_changed_under_a_resume_is_one_line(capsys, tmp_path):
    out = tmp_path / "table.tsv"
    assert by_factories(capsys, "smoothed", f"{MODELS}:images", out, "--max", 2)[0] == 0
    before = out.read_bytes()
    np.save(tmp_path / "other.npy", np.zeros((30, 1, 8, 8), np.float32))
    code, captured = by_factories(capsys, "smoothed", tmp_path / "other.npy", out)

    assert code == 64
    assert "input 0 of the data set is" in captured.err
    assert captured.err.count("\n") == 1
    assert out.read_bytes() == before


def test_a_full_disk_is_one_line_and_rows_stay(tmp_path):
    """The system itself refuses to let the table grow beyond 4,000 bytes."""
    resource = pytest.importorskip("resource")
    out = tmp_path / "table.tsv"

    def certify(path, limit, inputs):
        command = ("certify", f"{MODELS}:smoothed", f"{MODELS}:images", path, "--bound", "cohen")
        return subprocess.run(
            [sys.executable, "-m", "rsverify", *map(str, command), "--n", "300", "--max", inputs],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    # Without the limit first: compiled code is cached in files, too.
    assert certify(tmp_path / "first.tsv", resource.RLIM_INFINITY, "2").returncode == 0
    found = certify(out, 4000, "1000")

    assert found.returncode == 73
    estimate, *said = found.stderr.splitlines()
    assert estimate.startswith("estimate: ")
    assert said == [f"error: {out}: File too large"]
    rows = len(read_table(out))
    assert 5 < rows < 30
    assert out.stat().st_size <= 4000


@pytest.mark.parametrize(
    ("device", "rank", "gpus", "message"),
    [
        ("cuda", None, 0, "device='cuda' must be on this machine"),
        ("cuda:1", None, 0, "finds no GPU; use 'cpu' or 'auto'"),
        ("cuda", "4", 4, "LOCAL_RANK=4 must be below 4, the number of GPUs of this machine"),
        ("auto", "9", 2, "LOCAL_RANK=9 must be below 2"),
        ("cuda:8", "0", 8, "device='cuda:8' must be one of the 8 GPUs of this machine"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(
    capsys, tmp_path, monkeypatch, device, rank, gpus, message
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    out = tmp_path / "table.tsv"
    more = ("--device", device, *ORDINARY)
    code, captured = by_factories(capsys, "net", f"{MODELS}:images", out, *more)

    assert code == 69
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_auto_is_the_cpu_where_there_is_no_gpu(capsys, tmp_path):
    tables = []
    for device in ("auto", "cpu"):
        out = tmp_path / f"{device}.tsv"
        more = ("--device", device, "--max", 2, "--no-time", *ORDINARY)
        code, captured = by_factories(capsys, "net", f"{MODELS}:images", out, *more)
        assert code == 0, captured.err
        tables.append(out.read_bytes())
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    "options",
    [
        {"ordering": "difference", "n0": 30},
        {"ordering": "taylor:3", "radius": "R1"},
        {"bound": "hoeffding", "scores": "sparsemax", "temperature": 4.0},
        {"bound": "betting", "scores": "hardmax", "alpha": 0.01},
    ],
)
def test_options_of_a_request_reach_the_table(capsys, tmp_path, data, options):
    factory = tmp_path / "made.py"
    factory.write_text(
        "import torch\n"
        "def net():\n"
        "    return lambda batch: torch.stack([-batch.sum((1, 2)), batch.sum((1, 2))], 1)\n"
    )
    given = [part for k, v in options.items() for part in (f"--{k.replace('_', '-')}", v)]
    out, same = tmp_path / "command.tsv", tmp_path / "python.tsv"
    code, captured = certify(capsys, f"{factory}:net", data, out, "--no-time", *given)
    assert code == 0, captured.err

    def net(batch):
        return torch.stack([-batch.sum((1, 2)), batch.sum((1, 2))], 1)

    arrays = np.load(data)
    if "ordering" in options:
        options = options | {"ordering": find_ordering(options["ordering"])}
    certify_dataset(
        SmoothedClassifier(net, 2, SIGMA),
        (arrays["x"], arrays["y"]),
        same,
        n=N,
        seed=5,
        record_time=False,
        **options,
    )
    assert out.read_bytes() == same.read_bytes()
    configuration = read_metadata(out)["configuration"]
    assert {k: configuration[k] for k in options if k != "ordering"} == {
        k: v for k, v in options.items() if k != "ordering"
    }


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--ordering", "likelihood", "ordering='likelihood'"),
        ("--scores", "softmx", "scores='softmx'"),
        ("--temperature", "-1", "temperature=-1.0"),
        ("--bound", "exakt", "bound='exakt'"),
        ("--radius", "R3", "radius='R3'"),
        ("--lipschitz", "some", "lipschitz='some'"),
        ("--autocast", "float64", "autocast='float64'"),
    ],
)
def test_an_option_out_of_range_is_refused_before_the_model_is_loaded(
    capsys, tmp_path, data, option, value, said
):
    factory = tmp_path / "never.py"
    factory.write_text("raise RuntimeError('loaded')\n")
    out = tmp_path / "table.tsv"
    code, captured = certify(capsys, f"{factory}:net", data, out, option, value)
    assert code == 64
    assert said in captured.err
    assert not out.exists()
