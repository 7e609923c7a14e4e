"""The examples of the README, of the pages in docs/ and of every docstring, executed."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import rsverify

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    p
    for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if ">>> " in p.read_text(encoding="utf-8")
)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(rsverify.__path__, "rsverify.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_of_a_page_run(page):
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")

    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_run(name):
    module = importlib.import_module(name)

    assert doctest.testmod(module).failed == 0


_PARAMETER = re.compile(r"^(\w+(?:, \w+)*) : .*, default (.+)$", re.MULTILINE)


def _functions(name):
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        yield value
        if inspect.isclass(value):
            yield from filter(inspect.isfunction, vars(value).values())


@pytest.mark.parametrize("name", MODULES)
def test_a_default_that_a_docstring_states_is_that_of_the_signature(name):
    for function in _functions(name):
        if not callable(function) or not function.__doc__:
            continue
        try:
            signature = inspect.signature(function).parameters
        except ValueError:  # of a class of numbers
            continue
        for names, stated in _PARAMETER.findall(inspect.cleandoc(function.__doc__)):
            for parameter in set(names.split(", ")) & set(signature):
                default = signature[parameter].default
                literal = stated.strip('"').replace(",", "")
                same = literal == str(default).replace(",", "")
                assert same or float(literal) == default, f"{name}: {parameter}={stated}"


def test_some_pages_and_modules_have_examples():
    assert ROOT / "README.md" in PAGES
    assert "rsverify.certificates.counts" in MODULES


# Definitions, and what shows or reads what others claim.
CLAIMS_NOTHING = {
    "Analysis",
    "Comparison",
    "Estimand",
    "Interval",
    "Margin",
    "Status",
    "read_table",
}


@pytest.mark.parametrize("name", [n for n in rsverify.__all__ if n not in CLAIMS_NOTHING])
def test_public_function_has_guarantee_and_example(name):
    value = getattr(rsverify, name)
    if not callable(value):
        return
    text = value.__doc__
    if isinstance(value, type):  # a class: its methods may hold the guarantee and the example
        text += "".join(m.__doc__ or "" for m in vars(value).values() if callable(m))
        assert "*Guarantee" in text
        return

    assert "*Guarantee" in text
    assert ">>> " in text


def test_the_tests_that_the_page_on_faults_names_are_there():
    page = (ROOT / "docs" / "regressions.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:unit|property|integration)/[\w/]+\.py)`", page))
    assert len(named) > 25
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).exists()] == []
