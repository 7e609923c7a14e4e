"""The page on architecture is what the code is: families, levels, and arrows downward only."""

import pytest
from support.architecture import BEGIN, PAGE, ROOT, families, first_line, levels, page_with_drawing

DESIGNED = [  # a family imports only what stands after it
    "testing",
    "cli",
    "demo",
    "paper",
    "auditing",
    "smoothing",
    "tables",
    "certificates",
    "reference",
    "noise",
    "bounds",
    "probit",
    "kernels",
    "verification",
    "_core",
]


def test_the_page_is_drawn_from_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert BEGIN in text
    assert page_with_drawing(text) == text, "run python -m tests.support.architecture"


def test_arrows_run_downward_only() -> None:
    arrows = families()
    assert sorted(arrows) == sorted(DESIGNED)
    for name, below in arrows.items():
        above = set(DESIGNED[: DESIGNED.index(name)])
        assert not below & above, f"{name} imports {below & above}"
    assert len(levels(arrows)) <= 10


def test_a_cycle_is_found() -> None:
    with pytest.raises(ValueError, match="cycle among \\['a', 'b'\\]"):
        levels({"a": {"b"}, "b": {"a"}, "c": set()})


def test_every_file_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "rsverify").rglob("*.py")
        if not first_line(path).endswith((".", "?"))
    ]
    assert silent == []
