"""What is public: said by `__all__` of each module, documented, shown by the reference, typed."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import rsverify

PACKAGE = Path(rsverify.__file__).parent
ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "api"
NOT_PUBLIC = ("check_votes", "row_text", "_hash", "plan_rivals", "certify_request")


def with_all() -> dict[str, ast.Module]:
    """Return the modules that have an `__all__` of their own, with their source."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        named = [n for n in tree.body if isinstance(n, ast.Assign)]
        if path.name != "__init__.py" and any(
            ast.unparse(n.targets[0]) == "__all__" for n in named
        ):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            found[".".join(parts)] = tree
    return found


def stub() -> dict[str, str]:
    """Return the module of each name of the package."""
    lines = (PACKAGE / "__init__.pyi").read_text("utf-8")
    found = re.findall(r"^from (\S+) import (\w+) as \w+$", lines, re.MULTILINE)
    return {name: f"rsverify{module}" for module, name in found}


MODULES = with_all()


def module_of(name: str) -> ModuleType:
    if name.startswith("rsverify.smoothing"):
        pytest.importorskip("torch")
    return importlib.import_module(name)


def defined(tree: ast.Module) -> dict[str, str | None]:
    """Return what a module defines itself, with the docstring of each name."""
    found: dict[str, str | None] = {}
    for node, after in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.get_docstring(node)  # the last of overloads is the function
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            text = after.value if isinstance(after, ast.Expr) else None
            value = text.value if isinstance(text, ast.Constant) else None
            found[ast.unparse(target)] = value if isinstance(value, str) else None
    return found


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_defined_there_and_documented(name: str) -> None:
    names, own = module_of(name).__all__, defined(MODULES[name])
    assert sorted(set(names)) == sorted(names)
    assert [n for n in names if not own.get(n)] == []
    assert [n for n in names if n.startswith("_")] == []


def test_the_package_gives_public_names_alone() -> None:
    assert sorted(stub()) == sorted(n for n in rsverify.__all__ if n != "__version__")
    assert {m for m in stub().values() if m not in MODULES} == set()
    assert [n for n, module in stub().items() if n not in module_of(module).__all__] == []


def test_the_reference_shows_the_modules_with_public_names() -> None:
    shown = [
        name
        for page in sorted(PAGES.glob("*.md"))
        for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(shown) == sorted(MODULES)
    assert "filters: public" in (ROOT / "mkdocs.yml").read_text("utf-8")
    assert not any("options:" in page.read_text("utf-8") for page in PAGES.glob("*.md"))


@pytest.mark.slow
def test_the_reference_shows_public_names_alone(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    subprocess.run([*command, str(site)], cwd=ROOT, check=True, capture_output=True)
    html = "".join(p.read_text("utf-8") for p in (site / "api").rglob("*.html"))
    anchors = set(re.findall(r'id="(rsverify\.[\w.]+)"', html))
    wanted = {f"{m}.{n}" for m in MODULES for n in module_of(m).__all__}
    assert wanted <= anchors
    for anchor in anchors - wanted - set(MODULES):  # of a class: its members
        assert anchor.rpartition(".")[0] in wanted, anchor
    for name in NOT_PUBLIC:
        assert not re.search(rf"\b{name}\b", html), name


# ---- No `Any` where a user looks.


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield every public function and class with its name."""
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            value = getattr(importlib.import_module(module), name)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{module}.{name}", value


def signatures(value: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield what is annotated in a function or class: a place, annotations, names in scope."""
    if inspect.isclass(value):
        own = {k: v for k, v in vars(value).items() if k == "__init__" or not k.startswith("_")}
        yield "", inspect.get_annotations(value), vars(sys.modules[value.__module__])
        for name, member in own.items():
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if inspect.isfunction(function) and function.__module__ == value.__module__:
                for _, annotations, scope in signatures(function):
                    yield f".{name}", annotations, scope
        return
    inner = inspect.unwrap(value)
    for function in (inner, *typing.get_overloads(inner)):
        yield "", function.__annotations__, vars(sys.modules[inner.__module__])


def mentions_any(
    annotation: Any, scope: dict[str, Any], seen: frozenset[int] = frozenset()
) -> bool:
    """Return whether a type is `Any` or made of it, aliases and named records looked into."""
    if isinstance(annotation, str):
        for node in ast.walk(ast.parse(annotation, mode="eval")):
            # Inside of text, as in Literal["auto"], nothing is named.
            if isinstance(node, ast.Name) and mentions_any(
                Any if node.id == "Any" else scope.get(node.id), scope, seen
            ):
                return True
        return False
    if annotation is Any:
        return True
    if annotation is None or id(annotation) in seen:
        return False
    seen |= {id(annotation)}
    if inspect.isclass(annotation) and typing.is_typeddict(annotation):
        inner = vars(sys.modules[annotation.__module__])
        hints = annotation.__annotations__.values()
        return any(mentions_any(getattr(h, "__forward_arg__", h), inner, seen) for h in hints)
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if getattr(origin, "__module__", "").startswith("numpy._typing"):
        # Of its ArrayLike; since numpy 2.5 also of NDArray, whose argument is ours.
        ours = arguments if getattr(origin, "__name__", "") == "NDArray" else ()
        return any(mentions_any(a, scope, seen) for a in ours)
    if inspect.isclass(origin) and issubclass(origin, np.ndarray | np.dtype | np.generic):
        # numpy writes shapes of any number of dimensions with Any.
        arguments = [a for a in arguments[-1:] if typing.get_origin(a) is not tuple]
    return any(
        mentions_any(a, scope, seen)
        for part in arguments
        for a in (part if isinstance(part, list) else [part])
        if not isinstance(a, str)
    )


def test_the_search_for_any_finds_it() -> None:
    from rsverify._core.types import AnyArray, FloatArray, FloatLike, Json, VoteBoundName

    scope = {"Any": Any, "Json": Json, "AnyArray": AnyArray, "VoteBoundName": VoteBoundName}
    assert mentions_any("dict[str, Any] | None", scope)
    assert mentions_any("Json | None", scope)
    assert mentions_any("AnyArray", scope)
    assert mentions_any("Callable[[AnyArray], float]", scope)
    assert mentions_any("Callable[..., Any]", scope)
    assert not mentions_any("VoteBoundName | Callable[..., object]", scope)
    assert not mentions_any('Literal["Any"]', scope)
    assert not mentions_any(FloatArray, scope)
    assert not mentions_any(FloatLike, scope)

    class Careless:
        def __init__(self, value: Any) -> None:
            self.value = value

    assert any(
        mentions_any(a, scope) for _, found, scope in signatures(Careless) for a in found.values()
    )


def test_no_public_signature_says_any() -> None:
    pytest.importorskip("torch")
    found = [
        f"{name}{place}: {argument}: {annotation}"
        for name, value in public_objects()
        for place, annotations, scope in signatures(value)
        for argument, annotation in annotations.items()
        if mentions_any(annotation, scope)
    ]
    assert found == []


def test_any_is_rare() -> None:
    lines = [
        line
        for path in PACKAGE.rglob("*.py*")
        if path.suffix in (".py", ".pyi")
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"\bAny\b", line) and "import" not in line
    ]
    assert len(lines) <= 99


def test_options_of_assert_covers_are_those_of_audit() -> None:
    from rsverify.testing import AuditOptions

    parameters = inspect.signature(rsverify.audit).parameters.values()
    wanted = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert set(AuditOptions.__annotations__) == set(wanted)
    needed = {n for n, p in wanted.items() if p.default is p.empty}
    for name, hint in AuditOptions.__annotations__.items():
        text = hint.__forward_arg__
        said = text.removeprefix("Required[").removesuffix("]") if name in needed else text
        assert said == wanted[name].annotation, name
