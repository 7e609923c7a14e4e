"""`rsverify certify --noise --norm`, and what other commands make of its tables."""

import json

import numpy as np
import pytest

from rsverify import SmoothedClassifier, recertify
from rsverify.cli import app as cli
from rsverify.noise import parse_noise
from rsverify.tables.reader import read_metadata, read_table

N = 300
MODEL = """
import torch


def bright():
    def net(batch):
        parts = batch.flatten(1).split(4, dim=1)
        return torch.stack([part.mean(dim=1) for part in parts], dim=1)

    return net


def words():
    def net(batch):
        return torch.stack([(batch == word).sum(dim=1).float() for word in (1, 2, 3)], dim=1)

    return net


def spell(batch):
    left = [row[row >= 0] for row in batch]
    return torch.nn.utils.rnn.pad_sequence([*left, batch.new_zeros(12)], batch_first=True)[:-1]


def smoothed():
    from rsverify import SmoothedClassifier
    from rsverify.noise import Uniform

    return SmoothedClassifier(bright(), 3, noise=Uniform(0.4))
"""
IMAGES = np.round(np.random.default_rng(1).random((4, 3, 2, 2)) * 32).astype(np.float32) / 64
TEXTS = np.random.default_rng(2).integers(1, 4, (4, 12))
for i in range(4):
    IMAGES[i, i % 3] += 0.5
    TEXTS[i, :10] = 1 + i % 3


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(MODEL)
    np.savez(tmp_path / "images.npz", x=IMAGES, y=np.zeros(4, dtype=int))
    np.savez(tmp_path / "texts.npz", x=TEXTS, y=np.ones(4, dtype=int))


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in arguments])
    return stopped.value.code, capsys.readouterr()


def certify(capsys, model, data, *options):
    given = ("--num-classes", 3, "--n", N, "--n0", 50, "--seed", 5, *options)
    return run(capsys, "certify", f"net.py:{model}", data, "t.tsv", *given)


@pytest.mark.parametrize(
    ("model", "noise", "norm", "options", "given"),
    [
        ("bright", "uniform:0.4", None, (), {}),
        ("bright", "uniform:0.4", "linf", (), {}),
        ("bright", "splitting:0.6", "l1", (), {}),
        ("bright", "laplace:0.3", "lp:2", ("--lattice", "1/64"), {"lattice": 1 / 64}),
        ("bright", "laplace:0.3", None, (), {}),
        ("bright", "gaussian:0.4", "linf", (), {}),
        ("bright", "gaussian:" + ",".join(["0.3"] * 11 + ["0.5"]), "mahalanobis", (), {}),
        ("bright", "ablation:2,12", None, ("--mask", "0.5"), {"mask": 0.5}),
        (
            "bright",
            "ablation:1,4",
            "l0",
            ("--mask", "0.1,0.2,0.3", "--channel-axis", 0),
            {"mask": [0.1, 0.2, 0.3], "channel_axis": 0},
        ),
        ("words", "ablation:3,12", None, ("--mask", 0), {"mask": 0}),
        ("words", "deletion:0.7", "edit", ("--mask", 0), {"mask": 0}),
    ],
)
def test_rows_are_the_certificates_of_the_library(capsys, model, noise, norm, options, given):
    data, inputs = ("texts.npz", TEXTS) if model == "words" else ("images.npz", IMAGES)
    asked = () if norm is None else ("--norm", norm)
    code, captured = certify(capsys, model, data, "--noise", noise, *asked, *options)
    assert code == 0, captured.err
    table, scope = read_table("t.tsv"), {}
    exec(MODEL, scope)
    smoothed = SmoothedClassifier(scope[model](), 3, noise=parse_noise(noise), **given)
    for row, x in zip(table.to_dict("records"), inputs, strict=True):
        found = smoothed.certify(x, n=N, n0=50, seed=(5, row["idx"]), norm=norm)
        assert found.radius - 1e-6 <= row["radius"] <= found.radius
        assert (row["noise"], row["norm"]) == (noise, str(found.norm))
    assert (table["radius"] > 0).any()
    kept = read_metadata("t.tsv")["configuration"]
    assert (kept["noise"], kept["norm"]) == (noise, str(found.norm))
    for command in (("analyze", "t.tsv"), ("recertify", "t.tsv"), ("verify", "t.tsv")):
        code, captured = run(capsys, *command)
        assert code in ((0, 2) if command[0] == "verify" else (0,)), captured.err


def test_a_callable_for_what_is_left(capsys):
    options = ("--noise", "deletion:0.7", "--mask", "net.py:spell")
    code, captured = certify(capsys, "words", "texts.npz", *options)
    assert code == 0, captured.err
    assert read_metadata("t.tsv")["configuration"]["mask"].endswith("spell")


def test_a_table_again_in_another_norm_knows_the_dimension(capsys):
    assert certify(capsys, "bright", "images.npz", "--noise", "uniform:0.4")[0] == 0
    code, captured = run(capsys, "recertify", "t.tsv", "u.tsv", "--norm", "linf")
    assert code == 0, captured.err
    again, expected = read_table("u.tsv"), recertify(read_table("t.tsv"), norm="linf", dimension=12)
    assert again["radius"].tolist() == pytest.approx(expected["radius"].tolist(), abs=1.1e-6)
    assert set(again["norm"]) == {"linf"}
    assert set(again["dimension"].astype(int)) == {12}
    for table in ("t.tsv", "u.tsv"):
        for norm in (("--norm", "linf"), ()):
            code, captured = run(capsys, "recertify", table, *norm, "--dimension", 3)
            assert code == 64
            assert "dimension=3 must be 12, which the table's JSON says" in captured.err
    code, captured = run(capsys, "recertify", "u.tsv", "v.tsv", "--norm", "l2")
    assert code == 0, captured.err
    code, captured = run(capsys, "recertify", "t.tsv", "--norm", "l0")
    assert code == 64
    assert "must be one of 'l1', 'l2', 'linf', Lp(p) for uniform noise; Ablation" in captured.err
    # Gaussian noise and l2, which a table does not name.
    code, captured = run(
        capsys,
        *("certify", "net.py:bright", "images.npz", "g.tsv", "--num-classes", 3, "--n", N),
        *("--sigma", 0.4),
    )
    assert code == 0, captured.err
    code, captured = run(capsys, "recertify", "g.tsv", "h.tsv", "--norm", "linf")
    assert code == 0, captured.err
    plain, box = read_table("g.tsv"), read_table("h.tsv")
    assert box["radius"].tolist() == pytest.approx((plain["radius"] / 12**0.5).tolist(), abs=2e-6)


@pytest.mark.parametrize(
    ("model", "data", "options", "message"),
    [
        (
            "bright",
            "images.npz",
            ("--noise", "uniform:0.4", "--sigma", 0.4),
            "sigma=0.4 must be left",
        ),
        ("bright", "images.npz", (), "--sigma, or --noise, must be given"),
        (
            "bright",
            "images.npz",
            ("--noise", "uniform"),
            "must have its parameters as uniform:HALF_WIDTH",
        ),
        ("bright", "images.npz", ("--noise", "ablation:2,12"), "mask=None must be what"),
        ("bright", "images.npz", ("--noise", "ablation:2,9", "--mask", 0), "of=9 must be 12"),
        (
            "bright",
            "images.npz",
            ("--noise", "uniform:0.4", "--norm", "l0"),
            "norm='l0' must be one",
        ),
        ("bright", "images.npz", ("--noise", "deletion:0.5", "--mask", 0), "sequence of token"),
        ("bright", "images.npz", ("--noise", "ablation:2,12", "--mask", "x"), "mask='x' must be a"),
        (
            "smoothed",
            "images.npz",
            ("--noise", "uniform:0.5"),
            "noise=uniform:0.5 must be left out",
        ),
        ("smoothed", "images.npz", ("--sigma", 0.5), "sigma=0.5 must be left out"),
        ("words", "texts.npz", ("--noise", "uniform:0.4"), "must be floating"),
    ],
)
def test_options_that_do_not_go_together(capsys, tmp_path, model, data, options, message):
    code, captured = certify(capsys, model, data, *options)
    assert code in (64, 65)
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "t.tsv").exists()


def test_a_factory_may_have_its_own_noise(capsys):
    code, captured = certify(
        capsys, "smoothed", "images.npz", "--noise", "uniform:0.4", "--format", "json"
    )
    assert code == 0, captured.err
    assert json.loads(captured.out)["written"] == ["t.tsv", "t.json"]
    assert set(read_table("t.tsv")["noise"]) == {"uniform:0.4"}
