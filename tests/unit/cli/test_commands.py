"""What all commands share: ``-o``, JSON alone on stdout, interruption, completion; and `info`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

torch = pytest.importorskip("torch")

import rsverify  # noqa: E402
from rsverify._core.optional import EXTRA_OF  # noqa: E402
from rsverify.cli.app import COMMANDS, app  # noqa: E402
from rsverify.cli.info import _found  # noqa: E402
from rsverify.tables.reader import read_table  # noqa: E402
from tests.support.screens import folder_of_files, show  # noqa: E402

CERTIFY = "certify net.py:net images.npz"
SIZES = "--num-classes 2 --n 300"
ONE = "--sigma 0.5 --no-time"
VOTES, RUN = "rsverify.certificates.margins", "rsverify.smoothing.dataset.certify_request"


@pytest.fixture(autouse=True)
def files():
    with folder_of_files():
        yield


@pytest.mark.parametrize("name", [n for commands in COMMANDS.values() for n in commands])
def test_every_command_prints_json_on_request(name):
    command = typer.main.get_command(app).commands[name]
    (option,) = [p for p in command.params if "--format" in p.opts]
    assert option.default == "text"


@pytest.mark.parametrize("sigmas", [(0.25, 0.5), (0.5, 0.125, 1.0)])
def test_several_sigma_make_the_tables_that_each_makes_alone(sigmas):
    given = " ".join(f"--sigma {sigma}" for sigma in sigmas)
    found = show(f"{CERTIFY} many.tsv {given} {SIZES} --no-time")
    assert found.code == 0, found.err
    for sigma in sigmas:
        assert show(f"{CERTIFY} one.tsv --sigma {sigma} {SIZES} --no-time --force").code == 0
        made = Path(f"many_{sigma:g}.tsv").read_text()
        assert made == Path("one.tsv").read_text()
        assert set(read_table(f"many_{sigma:g}.tsv")["sigma"]) == {sigma}
        assert f"sigma {sigma:g}" in found.out
    assert not Path("many.tsv").exists()


@pytest.mark.parametrize(
    ("by_argument", "by_option"),
    [
        (
            f"{CERTIFY} a.tsv --sigma 0.5 {SIZES} --no-time",
            f"{CERTIFY} -o b.tsv --sigma 0.5 {SIZES} --no-time",
        ),
        ("recertify strict.tsv a.tsv --alpha 0.1", "recertify strict.tsv --alpha 0.1 --out b.tsv"),
        ("analyze strict.tsv --json a.tsv", "analyze strict.tsv -o b.json"),
        ("analyze strict.tsv --latex a.tsv", "analyze strict.tsv -o b.tex"),
        ("analyze strict.tsv --markdown a.tsv", "analyze strict.tsv -o b.md"),
    ],
)
def test_o_is_the_same_as_its_argument(by_argument, by_option):
    for command in (by_argument, by_option):
        assert show(command).code == 0
    (other,) = [p for p in Path().glob("b.*") if p.suffix != ".json" or "analyze" in by_option]
    assert other.read_bytes() == Path("a.tsv").read_bytes()


def test_what_a_model_or_a_bound_prints_is_no_result():
    Path("talks.py").write_text(
        "import torch\nprint('on import')\n"
        "def net():\n    print('made')\n    net = torch.nn.Linear(2, 2)\n"
        "    net.register_forward_hook(lambda *_: print('called'))\n    return net\n"
        "def lower(x, alpha):\n    print('bounded')\n    return 0 * x.sum(axis=-1)\n"
    )
    made = show(f"certify talks.py:net images.npz o.tsv --sigma 0.5 {SIZES} --format json")
    assert json.loads(made.out)["written"] == ["o.tsv", "o.json"]
    assert {"on import", "made", "called"} <= set(made.err.splitlines())
    judged = show("audit talks.py:lower --n 5 --replications 300 --format json")
    assert json.loads(judged.out)["verdict"]
    assert "bounded" in judged.err


@pytest.mark.parametrize(
    ("command", "inside", "said"),
    [
        ("bound 6 4 --y 0", f"{VOTES}.margin_lower_bounds", "run the same command again"),
        ("analyze strict.tsv", "rsverify.tables.analysis.analyze", "run the same command again"),
        ("recertify strict.tsv o.tsv", "rsverify.tables.reader.read_table", "run the same again"),
        ("audit betting_lower --n 5", "rsverify.auditing.api.audit", "--store FILE keeps"),
        ("audit-paper", "rsverify.paper.audit.audit_paper", "nothing is kept, run the same again"),
        ("demo", "rsverify.demo.run.run_demo", "what was compiled is kept"),
        (f"{CERTIFY} o.tsv {SIZES} {ONE}", RUN, "run the same command again"),
        ("info", "rsverify.cli.info._found", "run the same command again"),
    ],
)
def test_an_interruption_says_what_is_safe_and_how_to_go_on(command, inside, said, monkeypatch):
    def stop(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    module, _, name = inside.rpartition(".")
    __import__(module)
    with contextlib.ExitStack() as stack:
        if command in ("demo", "info"):  # which the screens replace already
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(
                f"tests.support.screens._{ {'demo': 'demo', 'info': 'found'}[command] }", stop
            )
        else:
            monkeypatch.setattr(sys.modules[module], name, stop)
        found = show(command)
    error = [line for line in found.err.splitlines() if not line.startswith("demo: ")]
    assert found.code == 130
    assert len(error) == 1
    assert error[0].startswith("error: interrupted")
    assert said in error[0]
    assert not list(Path().glob(".*"))


def test_info_says_what_is_here():
    found = _found()
    assert found["rsverify"] == rsverify.__version__
    assert found["packages"]["numpy"] == __import__("numpy").__version__
    assert found["extras"]["torch"]["torch"] == torch.__version__
    assert set(found["extras"]) == set(EXTRA_OF.values())
    assert found["devices"][0] == "cpu"
    assert 1 <= found["cores"]["usable"] <= found["cores"]["of the machine"]
    assert found["compiled_functions"] is None or Path(found["compiled_functions"]).is_dir()
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_commands_and_options(shell):
    environment = os.environ | {"_RSVERIFY_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-m", "rsverify"]
    script = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert script.returncode == 0
    assert "_RSVERIFY_COMPLETE" in script.stdout
    asked = {"_TYPER_COMPLETE_ARGS": "rsverify re", "COMP_WORDS": "rsverify re", "COMP_CWORD": "1"}
    environment = os.environ | asked | {"_RSVERIFY_COMPLETE": f"complete_{shell}"}
    environment |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "recertify" in found.stdout
    assert "bound" not in found.stdout.split()
    assert found.stderr == ""


def test_shares_by_the_command_are_merged_to_one_table():
    assert show(f"{CERTIFY} whole.tsv {ONE} {SIZES}").code == 0
    for i in (1, 2, 3):
        assert show(f"{CERTIFY} share_{i}.tsv {ONE} {SIZES} --share {i}/3").code == 0
    found = show("merge share_1.tsv share_3.tsv -o all.tsv --format json")
    assert json.loads(found.out)["rows"] == 3
    assert show("merge share_2.tsv -o all.tsv").out.startswith("1 tables merged: rows of 4 of 4")
    assert Path("all.tsv").read_bytes() == Path("whole.tsv").read_bytes()
    assert show(f"{CERTIFY} all.tsv {ONE} {SIZES}").code == 0  # which has nothing left to do
    assert Path("all.tsv").read_bytes() == Path("whole.tsv").read_bytes()


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("merge missing.tsv -o t.tsv", 66, "missing.tsv"),
        ("merge part_1.tsv -o part_1.tsv", 64, "is one of the parts"),
        (
            "merge part_1.tsv strict.tsv -o t.tsv",
            64,
            "strict.tsv has no entry 'inputs' in its configuration",
        ),
        ("merge counts.csv -o t.tsv", 65, "counts.csv"),
        (f"{CERTIFY} t.tsv {ONE} {SIZES} --share 3", 64, "share='3' must be a share such as 3/8"),
        (f"{CERTIFY} t.tsv {ONE} {SIZES} --share 5/4", 64, "share=5/4 must be at most 4/4"),
        (f"{CERTIFY} t.tsv {ONE} {SIZES} --share 5/9", 64, "share=5/9 is empty: only 4 inputs"),
    ],
)
def test_what_is_no_share_is_said_in_a_line(command, code, said):
    found = show(command)
    assert (found.code, found.err.count("\n")) == (code, 1), found.err
    assert said in found.err
    assert not Path("t.tsv").exists()
