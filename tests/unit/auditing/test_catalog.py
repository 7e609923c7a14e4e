"""What there is to audit, in lines."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rsverify.auditing.catalog import bound_lines, estimand_lines
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.registry import named_bound
from rsverify.auditing.scenario import default_scenarios
from rsverify.bounds.registry import BOUNDS

N = 6


def test_every_bound_is_listed_and_can_be_audited_as_it_says():
    lines = bound_lines()
    assert [line.name for line in lines] == list(BOUNDS)
    for line in lines:
        assert line.estimands
        assert re.fullmatch(r"Return .*[.:].*", line.summary), line
        for estimand in line.estimands:
            assert named_bound(line.name, estimand).side == line.side


def test_every_estimand_is_listed_with_the_shape_of_its_data():
    assert {line.name for line in estimand_lines()} == set(ESTIMANDS)
    for line in estimand_lines():
        shape = re.match(r"\((.*?)\)", line.data)
        assert shape is not None, line
        scenario = default_scenarios(ESTIMANDS[line.name], N, 0.05)[0]
        rng = np.random.default_rng(1)
        data = ESTIMANDS[line.name].draw(rng, 4, N, **scenario.parameters)
        known = {"R": 4, "n": N, "n + 1": N + 1, "2": 2, "3": 3, "4": 4}
        for said, size in zip(shape[1].split(", "), data.shape, strict=True):
            assert said == "m" or known[said] == size, line


def test_what_is_said_to_be_exact_is():
    from rsverify import audit

    def always(data, alpha):  # fails to cover: refuted at the first look
        del alpha
        return np.full(len(data), 1e9)

    for line in estimand_lines():
        report = audit(always, estimand=line.name, n=N, alpha=0.3, replications=40)
        exact = report.design.get("method", "").startswith("exact")
        assert exact == ("exact" in line.audited), line


@pytest.mark.parametrize("command", ["bounds", "estimands"])
def test_the_commands_have_json(capsys, command):
    import json

    from rsverify.cli.app import main

    with pytest.raises(SystemExit) as stopped:
        main([command, "--format", "json"])
    assert stopped.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == len(BOUNDS if command == "bounds" else ESTIMANDS)


def test_bounds_of_one_estimand(capsys):
    from rsverify.cli.app import main

    with pytest.raises(SystemExit):
        main(["bounds", "--estimand", "probit"])
    out = capsys.readouterr().out
    assert "exact_margin_lower" in out
    assert "hoeffding_lower" not in out
    with pytest.raises(SystemExit) as stopped:
        main(["bounds", "--estimand", "modus"])
    assert stopped.value.code == 64
