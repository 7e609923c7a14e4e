"""Without an extra the core works, and what needs it says how to install it."""

import subprocess
import sys

import pytest

LIGHT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
import rsverify
"""


def run(code: str, *missing: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIGHT.format(missing=missing) + code], capture_output=True, text=True
    )


def test_the_core_needs_neither_torch_nor_typer_nor_matplotlib() -> None:
    done = run(
        "print(rsverify.certify_counts([90, 5, 5], sigma=1.0, alpha=0.05, y=0).prediction)",
        *("torch", "typer", "matplotlib", "sklearn", "onnxruntime", "pyarrow", "flint", "jinja2"),
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


@pytest.mark.parametrize(
    ("code", "module", "remedy"),
    [
        ("from rsverify.cli.start import main; main()", "typer", "rsverify[cli]"),
        (
            "from rsverify.auditing.plot import Title, titled_figure as f; f(9, 9, Title('', ''))",
            "matplotlib",
            "[plot]",
        ),
        ("from rsverify._core.figure import new_figure as f; f(1, 1)", "matplotlib", "[plot]"),
        ("from rsverify._core.figure import check_figure as c; c('x.png')", "matplotlib", "[plot]"),
    ],
)
def test_what_needs_an_extra_names_it(code: str, module: str, remedy: str) -> None:
    done = run(code, module)
    last = done.stderr.strip().splitlines()[-1]
    assert f"{module} is not installed; run: pip install" in last
    assert remedy in last
    assert done.returncode == (69 if module == "typer" else 1)
