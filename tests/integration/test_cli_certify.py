"""`rsverify certify`: a saved module and an array file become a table."""

import numpy as np
import pytest
import torch

from rsverify import SmoothedClassifier, cli
from rsverify.table import read_metadata, read_table

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
    allow = ("--allow-pickle",) if kind == "pickled" else ()
    code, captured = certify(capsys, module, data, out, *allow)

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

    assert code == 64
    assert "runs code of its own when loaded" in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "table.tsv").exists()


def test_weights_alone_are_no_module(capsys, tmp_path, data):
    torch.save(halves().state_dict(), tmp_path / "weights.pt")
    code, captured = certify(capsys, tmp_path / "weights.pt", data, tmp_path / "table.tsv")

    assert code == 64
    assert "must hold a whole module" in captured.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.txt", None, "must end in .npy or .npz"),
        ("data.npz", {"images": np.zeros((2, 2))}, "it must hold x"),
        ("data.npz", {"x": np.zeros((0, 2))}, "must hold at least one input"),
        ("data.npz", {"x": np.zeros(2)}, "must hold inputs along its first axis"),
        ("data.npz", {"x": np.zeros((2, 2)), "y": np.zeros(2)}, "must hold 2 integers"),
        ("data.npz", {"x": np.zeros((2, 2)), "y": np.zeros(3, int)}, "must hold 2 integers"),
        ("data.npz", {"x": np.zeros((2, 2, 2), np.uint8)}, "must be floating"),
    ],
)
def test_bad_data_is_one_line(capsys, tmp_path, pickled, name, content, message):
    if content is not None:
        np.savez(tmp_path / name, **content)
    table = tmp_path / "table.tsv"
    code, captured = certify(capsys, pickled, tmp_path / name, table, "--allow-pickle")

    assert code == 64
    assert message in captured.err
    assert captured.err.count("\n") == 1
