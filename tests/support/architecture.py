"""The drawing in docs/architecture.md, made from the imports of the code.

``python -m tests.support.architecture`` writes it again; `tests/unit/test_architecture.py` fails
where the page and the code differ.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn from the code: begin -->", "<!-- drawn from the code: end -->"
FILES_BEGIN, FILES_END = "<!-- files: begin -->", "<!-- files: end -->"
FRONT = {"__init__", "__main__"}  # the front door loads names on first use


def families() -> dict[str, set[str]]:
    """Return each folder or file right below the package -> those that it imports."""
    package = ROOT / "rsverify"
    arrows: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).parts[0].removesuffix(".py")
        if name in FRONT:
            continue
        found = arrows.setdefault(name, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
                if node.module == "rsverify":
                    names = [f"rsverify.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            found |= {n.split(".")[1] for n in names if n.startswith("rsverify.")}
    known = set(arrows)
    return {name: (found & known) - {name} for name, found in arrows.items()}


def levels(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return the families by level, each above all that it imports, or raise at a cycle."""
    height: dict[str, int] = {}
    rest = dict(arrows)
    while rest:
        ready = [name for name, below in rest.items() if below <= height.keys()]
        if not ready:
            raise ValueError(f"imports run in a cycle among {sorted(rest)}")
        for name in ready:
            height[name] = 1 + max((height[b] for b in rest.pop(name)), default=-1)
    return [sorted(n for n in height if height[n] == h) for h in range(max(height.values()) + 1)]


def drawing() -> str:
    """Return boxes, one a family, the highest level first, each with the arrows that leave it."""
    arrows = families()
    rows = []
    for height, names in reversed(list(enumerate(levels(arrows)))):
        for name in names:
            below = ", ".join(sorted(arrows[name])) or "nothing of ours"
            rows.append((height, name, below))
    width = max(len(name) for _, name, _ in rows)
    edge = f"   +{'-' * (width + 2)}+"
    lines = [edge]
    for height, name, below in rows:
        lines += [f"{height:2} | {name:{width}} | --> {below}", edge]
    return "\n".join(lines)


def first_line(path: Path) -> str:
    """Return what a file says that it is for."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0].replace("``", "`").replace("|", "\\|")


def file_tables() -> str:
    """Return a table a family: each file, and the first line of its documentation."""
    package = ROOT / "rsverify"
    out = []
    for names in reversed(levels(families())):
        for name in names:
            alone = package / f"{name}.py"
            files = [alone] if alone.exists() else sorted((package / name).rglob("*.py"))
            title = name if alone.exists() else f"{name}/"
            out += [f"### `{title}`", "", "| file | what it is for |", "|---|---|"]
            for path in files:
                shown = path.relative_to(package if alone.exists() else package / name)
                if path.stem != "__init__" or path.parent.name != name:
                    out.append(f"| `{shown}` | {first_line(path)} |")
            out.append("")
    return "\n".join(out)


def _replaced(text: str, begin: str, end: str, body: str) -> str:
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{body}\n{end}{rest.partition(end)[2]}"


def page_with_drawing(text: str) -> str:
    """Return the page with the drawing and the tables as the code has them now."""
    text = _replaced(text, BEGIN, END, f"```text\n{drawing()}\n```")
    return _replaced(text, FILES_BEGIN, FILES_END, file_tables())


if __name__ == "__main__":
    PAGE.write_text(page_with_drawing(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
