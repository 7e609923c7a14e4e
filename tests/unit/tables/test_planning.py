"""Plans: what they say is computed right, and is what runs then take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from rsverify import certify_table, plan_samples
from rsverify.certificates.margins import margin_lower_bounds
from rsverify.noise import Ablation, Deletion, Gaussian, Laplace, Uniform
from rsverify.tables.plan import Cost
from rsverify.tables.plan_draws import drawn_for, schedule
from rsverify.tables.plan_view import cost_rows, notes
from rsverify.tables.planning import smallest_n

ASKED: Any = {"sigma": 0.25, "alpha": 0.01, "target_radius": 0.1, "n0": 0}
QUICK: Any = ASKED | {"bounds": ["cohen"]}


def of_two(p: float, n: int, alpha: float, bound: Any, margin: float) -> float:
    """Return the probability of certifying of two classes, as a sum over all their votes."""
    k = np.arange(n + 1)
    limits = margin_lower_bounds(
        np.stack([k, n - k], axis=1), 0, alpha, estimand="probit", bound=bound
    )
    return float(binom.pmf(k, n, p)[np.asarray(limits) >= margin].sum())


@pytest.mark.parametrize(
    ("p", "bound"),
    [(0.9, "exact"), (0.75, "bonferroni"), (0.9, "bonferroni"), (0.75, "cohen")],
)
def test_the_votes_needed_are_the_fewest(p: float, bound: Any) -> None:
    plan = plan_samples(
        probabilities=[p, 1 - p], bounds=[bound], probability=0.8, early=False, n=100, **ASKED
    )
    (needed,) = plan.needed
    assert needed.n is not None
    margin = 2 * 0.1 / 0.25
    assert of_two(p, needed.n, 0.01, bound, margin) >= 0.8
    assert needed.probability == pytest.approx(of_two(p, needed.n, 0.01, bound, margin), abs=1e-9)
    # It does not quite rise with n: within a few votes there may be fewer that do.
    fewer = int(needed.n / 1.15) - 1
    assert max(of_two(p, n, 0.01, bound, margin) for n in range(1, max(fewer, 2))) < 0.8


def test_shares_of_many_inputs_are_those_of_each() -> None:
    shares = [[0.9, 0.06, 0.04], [0.7, 0.2, 0.1], [0.6, 0.35, 0.05], [0.8, 0.1, 0.1]]
    options = ASKED | {"n": 200, "early": False, "target_radius": [0.1, 0.2]}
    options |= {"bounds": ["bonferroni", "cohen"]}
    many = plan_samples(probabilities=shares, **options)
    each = [plan_samples(probabilities=p, **options) for p in shares]
    assert (many.inputs, each[0].inputs) == (4, 1)
    for i, found in enumerate(many.expected):
        mean = np.mean([plan.expected[i].share for plan in each])
        assert abs(found.share - mean) < 4 * 0.5 / 2000**0.5
    assert many.reachable == (0.75, 0.5)
    assert np.mean([p.reachable for p in each], axis=0).tolist() == [0.75, 0.5]


def test_a_pilot_foretells_the_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shares = rng.dirichlet([6, 0.6, 0.6, 0.6], 300)
    pilot = np.array([rng.multinomial(200, p) for p in shares])
    later = np.array([rng.multinomial(2000, p) for p in shares])
    y = pilot.argmax(axis=1)
    frame = pd.DataFrame(pilot, columns=[f"count_{i}" for i in range(4)]).assign(label=0)
    plan = plan_samples(
        pilot=frame, sigma=0.25, alpha=0.001, target_radius=[0.1, 0.25], n=2000, early=False
    )
    assert plan.source == "a pilot of 200 votes on 300 inputs"
    for bound in ("exact", "bonferroni", "cohen"):
        table = certify_table(later, y=y, sigma=0.25, alpha=0.001, bound=bound, label=0)
        for radius in (0.1, 0.25):
            share = ((table["radius"] >= radius) & (table["correct"] == 1)).mean()
            (found,) = [
                e.share
                for e in plan.expected
                if (e.bound, e.radius, e.n, e.alpha) == (bound, radius, 2000, 0.001)
            ]
            assert abs(found - share) < 0.05
    path = tmp_path / "plan.json"
    assert json.loads(plan.to_json(path))["expected"][0]["bound"] == "exact"
    assert json.loads(path.read_text())["passes"] == 300 * 2100
    with pytest.raises(FileExistsError):
        plan.to_json(path)


def test_tables_of_certificates_are_pilots() -> None:
    votes = [[900, 60, 40], [300, 650, 50], [340, 330, 330]]
    table = certify_table(votes, y=[0, 1, 0], sigma=0.25, alpha=0.001, label=[0, 1, 1])
    plan = plan_samples(pilot=table, **ASKED | {"n": 1000})
    assert plan.inputs == 3
    assert plan.reachable[0] == pytest.approx(2 / 3, abs=0.05)
    given = plan_samples(pilot=np.array(votes), y=0, **ASKED | {"n": 1000, "early": False})
    assert given.reachable[0] == pytest.approx(1 / 3, abs=0.05)


def test_cohen_needs_a_majority_and_says_so() -> None:
    plan = plan_samples(
        probabilities=[0.48, 0.2, 0.2, 0.12],
        early=False,
        **ASKED | {"n": 100, "target_radius": 0.05},
    )
    found = {v.bound: v for v in plan.needed}
    assert found["cohen"].n is None
    assert "without a majority" in found["cohen"].reason
    assert found["exact"].n is not None
    assert found["bonferroni"].n is not None
    assert found["exact"].n < found["bonferroni"].n


def test_what_no_number_of_votes_certifies() -> None:
    asked = QUICK | {"early": False, "n": 1000}
    far = plan_samples(probabilities=[0.7, 0.3], **asked | {"target_radius": 0.5})
    (reason,) = {v.reason for v in far.needed}
    # sigma/2 (probit(.7) - probit(.3)) at sigma 0.25
    assert reason.startswith("the radius is not reached at any number of votes")
    assert "largest of these probabilities is 0.1311" in reason
    assert far.reachable == (0.0,)
    near = plan_samples(probabilities=[0.5805, 0.4195], **asked | {"target_radius": 0.05})
    assert "more than 1,000,000 votes" in near.needed[0].reason
    unsure = plan_samples(
        probabilities=[0.36, 0.34, 0.3], **asked | {"target_radius": 0.001, "n0": 20}
    )
    assert "at most" in unsure.needed[0].reason  # the selection sample picks another class
    assert "NaN" not in far.to_json() + near.to_json() + unsure.to_json()


@pytest.mark.parametrize(
    ("options", "largest"),
    [
        ({"noise": Uniform(0.5), "target_radius": 0.6}, "0.35"),
        ({"noise": Uniform(0.5), "norm": "linf", "dimension": 2, "target_radius": 0.4}, "0.1938"),
        ({"noise": Laplace(1.0), "target_radius": 9.0}, "1.263"),
        ({"noise": Ablation(1, 10), "target_radius": 4}, "3"),
        ({"sigma": 1.0, "target_radius": 3.0}, "1.343"),
    ],
)
def test_a_radius_that_is_not_reached_names_the_largest(options: Any, largest: str) -> None:
    probabilities = [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1]]
    if "sigma" in options:
        probabilities = [[0.9, 0.08, 0.02], [0.6, 0.3, 0.1]]
    plan = plan_samples(probabilities=probabilities, n=1000, alpha=0.01, early=False, **options)
    for needed in plan.needed:
        assert needed.n is None
        assert f"probabilities is {largest}: ask for less" in needed.reason


def test_parts_of_a_change_are_refused_as_by_a_run() -> None:
    for noise in (Ablation(3, 20), Deletion(0.9)):
        with pytest.raises(ValueError, match=r"target_radius=1.5 must be a whole number"):
            plan_samples(probabilities=[0.9, 0.1], noise=noise, alpha=0.01, target_radius=[1, 1.5])


def test_nothing_is_saved_wholly_and_one_input_is_one() -> None:
    plan = plan_samples(probabilities=[0.5, 0.5], **ASKED | {"target_radius": 0.5})
    assert 0.99 < plan.saved < 1
    assert "save 99." in " ".join(notes(plan))
    assert "100 %" not in " ".join(notes(plan))
    for row in cost_rows(plan)[1]:
        assert row[1] == row[2], "per input, and in all of one input"


def test_classes_left_out_of_a_pilot_are_told() -> None:
    votes = np.array([[60, 10, 30], [80, 10, 10]])
    for extra in ({"ignore": [2]}, {"top_k": 2, "selection": votes + 1}):
        chosen = {} if "selection" in extra else {"y": 0}
        table = certify_table(votes, sigma=0.5, alpha=0.05, **extra, **chosen)
        plan = plan_samples(pilot=table, **ASKED | {"sigma": 0.5, "early": False})
        assert "any other class taken for a runner-up" in plan.source


@pytest.mark.parametrize(
    ("noise", "more"),
    [
        (Uniform(0.5), {}),
        (Laplace(0.2), {}),
        (Uniform(0.5), {"norm": "linf", "dimension": 10}),
        (Ablation(45, 784), {"target_radius": 4}),
        (Gaussian(0.25), {"norm": "linf", "dimension": 4}),
    ],
)
def test_other_noise_and_norms(noise: Any, more: Any) -> None:
    asked: Any = {"target_radius": 0.05, "alpha": 0.01, "n": 200, "early": False} | more
    plan = plan_samples(probabilities=[0.9, 0.06, 0.04], noise=noise, bounds=["exact"], **asked)
    (exact, *_) = plan.needed
    assert exact.n is not None
    radius = asked.pop("target_radius")
    del asked["n"], asked["early"]
    expected = round(exact.n * 0.9), round(exact.n * 0.06)
    votes = [expected[0], expected[1], exact.n - sum(expected)]
    assert certify_table([votes], y=0, noise=noise, **asked)["radius"][0] >= radius


def test_early_votes_are_those_that_decisions_take() -> None:
    from rsverify.bounds.margin_decision import decide_margin

    p, n = [0.85, 0.1, 0.05], 20_000
    plan = plan_samples(probabilities=p, n=n, **QUICK | {"n0": 100, "target_radius": 0.15})
    assert plan.early is not None
    rng = np.random.default_rng(7)
    looks, votes = schedule(n), []
    for _ in range(60):
        path = rng.multinomial(np.diff(looks, prepend=0), p).cumsum(axis=0)
        prior = rng.multinomial(100, p)
        found = decide_margin(
            path, 0, 1.2, 0.009, estimand="probit", prior=prior, weights=prior + 1 / 3,
            horizon=n, futility=0.1,
        )  # fmt: skip
        votes.append(int(found.votes))
    spread = np.std(votes) * (1 / 60 + 1 / plan.early.simulated) ** 0.5
    assert abs(np.mean(votes) - plan.early.votes) < 4 * spread
    assert plan.early.passes >= plan.early.votes + 100
    assert plan.saved == pytest.approx(1 - plan.early.passes / 20_100)


def test_what_is_drawn_ahead() -> None:
    drawn = [drawn_for(v, 100_000, 64) for v in (1, 50, 51, 200, 1000)]
    assert drawn == [(50, 1), (50, 1), (100, 2), (200, 4), (1016, 17)]
    assert drawn_for(100_000, 100_000, 4096)[0] == 100_000
    assert 9000 <= drawn_for(9000, 100_000, 4096)[0] <= 9000 * 1.25


def test_costs_and_devices() -> None:
    plan = plan_samples(
        probabilities=[0.9, 0.1], inputs=100, passes_per_second=1000, **QUICK | {"n": 1000}
    )
    assert plan.passes == 100_000
    assert plan.seconds() == pytest.approx(100)
    assert plan.seconds(4) == pytest.approx(25)
    assert plan.seconds(1000) == pytest.approx(1)  # an input is not divided
    assert plan.seconds(early=True) < plan.seconds()  # type: ignore[operator]
    slow = Cost(
        device="cpu",
        passes_per_second=10,
        seconds_per_input=1,
        seconds_per_early_input=2,
        setup=5,
        batch_size=64,
    )
    assert plan.with_cost(slow).seconds(2) == pytest.approx(5 + (10_000 + 100) / 2)
    assert plan_samples(probabilities=[0.9, 0.1], early=False, **QUICK).seconds() is None


def test_a_plan_is_shown(tmp_path: Path) -> None:
    plan = plan_samples(
        probabilities=[0.9, 0.1], inputs=100, passes_per_second=1000, **QUICK | {"n": 1000}
    )
    assert str(plan).startswith(
        "100 inputs, 100,000 forward passes at n=1,000: about 1 min 40 s on"
    )
    html = plan._repr_html_()
    assert "Votes that certify with probability 0.9" in html
    assert "<script" not in html
    plan.plot(tmp_path / "plan.png", title="a plan")
    assert (tmp_path / "plan.png").stat().st_size > 1000
    assert plan == plan_samples(
        probabilities=[0.9, 0.1], inputs=100, passes_per_second=1000, **QUICK | {"n": 1000}
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pilot": [[1, 2]]}, "exactly one of probabilities and pilot"),
        ({"probabilities": None}, "exactly one of probabilities and pilot"),
        ({"probabilities": [0.5, 0.2]}, "add up to 1"),
        ({"probabilities": None, "pilot": [[0, 0]]}, "none of them empty"),
        ({"probabilities": None, "pilot": [[0.5, 0.5]]}, "pilot"),
        ({"bounds": []}, r"bounds=\[\] must be"),
        ({"bounds": ["hoeffding"]}, "bounds='hoeffding' must be one of"),
        ({"probability": 1.0}, "probability=1.0 must be"),
        ({"target_radius": -1}, "target_radius=-1"),
        ({"n": 0}, "n=0 must be"),
        ({"y": 5}, "y=5 must be"),
        ({"sigma": None}, "exactly one must be given"),
    ],
)
def test_what_is_refused(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_samples(**({"probabilities": [0.9, 0.1], "n": 100} | ASKED | change))


def test_the_search_for_n() -> None:
    assert smallest_n(lambda n: float(n >= 777), 0.5, 10) in range(777, 786)
    assert smallest_n(lambda n: float(n >= 777), 0.5, 500_000) in range(777, 786)
    assert smallest_n(lambda n: float(n >= 1), 0.5, 100) == 1
    assert smallest_n(lambda n: 0.0 * n, 0.5, 1000) is None
