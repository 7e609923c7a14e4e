"""The page of the scoreboard says what its table says."""

import importlib.util
import math
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "coverage_studies" / "scoreboard_page.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("scoreboard_page", STUDY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lines(study):
    return study.read()


def test_the_page_is_made_from_the_table(study, lines):
    assert (ROOT / "docs" / "scoreboard.md").read_text("utf-8") == study.page(lines)


def test_every_line_is_whole_and_its_verdict_follows_from_its_numbers(lines):
    assert len(lines) >= 50
    assert len({line["name"] for line in lines}) == len(lines)
    for line in lines:
        assert line["claims"] in ("exact", "nominal")
        seen, promised = float(line["seen"]), float(line["promised"])
        assert not math.isnan(seen)
        if line["verdict"] == "refuted":
            assert seen > promised, line
        if line["verdict"] == "supported":
            assert seen <= 1.2 * promised, line


def test_the_packages_are_there_with_versions(lines):
    found = {line["package"] for line in lines}
    assert {"scipy", "statsmodels", "grecov", "ville", "mapie", "crepes"} <= found
    assert all(line["version"][0].isdigit() for line in lines)


def test_it_takes_less_than_half_an_hour_on_two_cores(lines):
    assert sum(float(line["seconds"]) for line in lines) < 30 * 60


def test_the_exact_limit_that_the_page_names():
    from rsverify import exact_margin_lower

    limit = exact_margin_lower(18, 9, 30, 0.05, estimand="difference", ordering="difference")
    assert f"{limit:.7f}".replace("-", "−") in (ROOT / "docs" / "scoreboard.md").read_text("utf-8")
