"""The coverage studies can be run: their imports are those of the package as it is."""

import importlib.util
import sys
from pathlib import Path

import pytest

STUDIES = sorted((Path(__file__).parents[2] / "coverage_studies").glob("[!_]*.py"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_imports_and_has_a_main(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location(f"study_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look it up there
    spec.loader.exec_module(module)
    assert callable(module.main)
