"""Generators that hold something while they wait: whoever stops consuming must let go of it.

A frame that an exception holds on to keeps its generators suspended. What these have switched off,
opened or changed stays so, and comes back at some time nobody has chosen.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "rsverify"
# Each is closed by its only caller.
CLOSED = {("cli/demo.py", "_progress"), ("smoothing/probing/state.py", "extrapolations")}
# A context that is left by an exception alone holds nothing.
HARMLESS = ("suppress(", "contextlib.suppress(")


def _is_context_manager(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("contextmanager" in ast.unparse(each) for each in function.decorator_list)


def _inside(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, not those of functions inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _inside(child)


def _holding(function: ast.AST) -> Iterator[str]:
    for node in _inside(function):
        waits = [each for each in _inside(node) if isinstance(each, ast.Yield | ast.YieldFrom)]
        if isinstance(node, ast.With | ast.AsyncWith) and waits:
            held = [ast.unparse(item) for item in node.items]
            if not all(each.startswith(HARMLESS) for each in held):
                yield ", ".join(held)
        if isinstance(node, ast.Try) and node.finalbody and waits:
            yield "finally"


def holders(source: str) -> set[str]:
    """Return the names of generators, context managers aside, that hold something."""
    return {
        each.name
        for each in ast.walk(ast.parse(source))
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        if not _is_context_manager(each)
        if any(_holding(each))
    }


def test_no_generator_holds_anything_while_it_waits() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in ROOT.rglob("*.py")
        for name in holders(path.read_text("utf-8"))
    }
    assert found == CLOSED


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        ("with torch.no_grad():\n  yield 1", True),
        ("with lock, suppress(OSError):\n  for i in x:\n   yield i", True),
        ("try:\n  yield from x\n finally:\n  put_back()", True),
        ("with suppress(ValueError):\n  yield 1", False),
        ("with lock:\n  x = 1\n yield x", False),
        ("with lock:\n  def g():\n   yield 1", False),
        ("try:\n  yield 1\n except ValueError:\n  pass", False),
    ],
)
def test_what_holds_is_found(body: str, holds: bool) -> None:
    assert holders(f"def f(x):\n {body}\n") == ({"f"} if holds else set())
    assert not holders(f"@contextmanager\ndef f(x):\n {body}\n")
