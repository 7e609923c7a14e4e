"""Plans from a model and data, beside what runs take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.noise import Ablation, Laplace, Splitting, Uniform  # noqa: E402
from rsverify.smoothing.planning import plan_dataset  # noqa: E402
from rsverify.smoothing.timing import device_text  # noqa: E402

SIGMA = 0.5


def halves(batch: Any) -> Any:
    """Return class 1 where the first number is positive: its radius is that number."""
    return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)


@pytest.fixture(scope="module")
def smoothed() -> SmoothedClassifier:
    return SmoothedClassifier(halves, num_classes=2, sigma=SIGMA)


@pytest.fixture(scope="module")
def data() -> Any:
    """Return inputs whose radii are spread over 0.3 to 1."""
    first = torch.linspace(0.3, 1.0, 120)
    return torch.stack([first, torch.zeros(120)], dim=1), torch.ones(120, dtype=torch.int64)


ASKED: Any = {"target_radius": 0.25, "n": 2000, "alpha": 0.001}


@pytest.mark.slow
def test_early_decisions_take_the_votes_planned(smoothed: Any, data: Any, tmp_path: Path) -> None:
    plan = plan_dataset(smoothed, data, seconds=1.0, seed=0, **ASKED)
    table = certify_dataset(smoothed, data, tmp_path / "t.tsv", seed=1, **ASKED)
    assert plan.early is not None
    assert plan.inputs == 120
    spread = table["n"].std() * (1 / 120 + 1 / plan.early.simulated) ** 0.5
    assert abs(plan.early.votes - table["n"].mean()) < 4 * spread
    decided = (table["decision"] != "undecided").mean()
    assert abs(plan.early.decided[0] - decided) < 0.1
    assert plan.reachable[0] == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_a_fixed_n_certifies_the_share_planned(smoothed: Any, data: Any, tmp_path: Path) -> None:
    plan = plan_dataset(smoothed, data, seconds=1.0, seed=0, **ASKED | {"target_radius": 0.5})
    table = certify_dataset(smoothed, data, tmp_path / "t.tsv", seed=1, n=2000, alpha=0.001)
    share = ((table["radius"] >= 0.5) & (table["correct"] == 1)).mean()
    (found,) = [e.share for e in plan.expected if (e.bound, e.n, e.alpha) == ("exact", 2000, 0.001)]
    assert abs(found - share) < 0.07
    assert plan.passes == 120 * 2101


def test_no_file_is_written_and_the_noise_is_not_the_runs(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[bytes] = []

    def watched(batch: Any) -> Any:
        seen.extend(row.numpy().tobytes() for row in batch)
        return halves(batch)

    model = SmoothedClassifier(watched, num_classes=2, sigma=SIGMA)
    some = (data[0][:3], data[1][:3])
    plan_dataset(model, some, seconds=0.05, seed=0, **ASKED | {"n": 300})
    assert list(tmp_path.iterdir()) == []
    clean = {row.numpy().tobytes() for row in some[0]}
    planned = set(seen) - clean
    seen.clear()
    certify_dataset(model, some, tmp_path / "t.tsv", seed=0, n=300)
    # What probes a model is the same noise in both; no more than that is.
    assert len(planned & (set(seen) - clean)) <= 200
    assert len(planned - set(seen)) > 100


def test_the_cost_is_measured(smoothed: Any, data: Any) -> None:
    plan = plan_dataset(smoothed, data, seconds=0.3, seed=0, **ASKED)
    cost = plan.cost
    assert cost is not None
    assert cost.passes_per_second > 0  # however busy the machine is
    assert cost.batch_size == 64
    assert cost.seconds_per_early_input >= 0
    assert "cpu" in cost.device
    assert plan.seconds(2) < plan.seconds()  # type: ignore[operator]
    assert device_text(torch.device("cpu")).startswith("cpu (")


@pytest.mark.slow
def test_a_precision_and_true_classes_are_planned(smoothed: Any, data: Any) -> None:
    some = (data[0][:20], data[1][:20])
    plan = plan_dataset(smoothed, some, precision=0.2, n=5000, seconds=0.2, seed=0)
    assert plan.early is not None
    assert 0 < plan.early.decided[0] <= 1
    assert 50 < plan.early.votes <= 5000
    assert plan.target_radii == (0.25, 0.5, 0.75)
    given = plan_dataset(
        smoothed, some, certify_label=True, seconds=0.2, seed=0, **ASKED | {"n": 1000}
    )
    assert (given.n0, given.passes) == (0, 20 * 1001)
    with pytest.raises(ValueError, match="has no label"):
        plan_dataset(smoothed, some[0], certify_label=True, seconds=0.2, **ASKED)


def test_some_inputs_at_random_where_all_would_take_too_long(smoothed: Any) -> None:
    first = torch.linspace(0.3, 1.0, 3000)
    many = torch.stack([first, torch.zeros(3000)], dim=1)
    ticks = iter(np.arange(0.0, 1e6, 1.0))  # each pass over the clock takes a second

    from rsverify.smoothing.planning import plan_request
    from rsverify.smoothing.request import Request
    from rsverify.smoothing.sampling.session import Execution

    plan = plan_request(
        smoothed,
        many,
        Request(n=500, target_radius=0.25),
        certify_label=False,
        probability=0.9,
        seconds=2.0,
        seed=0,
        skip=1,
        max_inputs=None,
        input_range=None,
        batch_size=None,
        execution=Execution(),
        clock=lambda: float(next(ticks)),
    )
    assert plan.source == "a pilot of 50 votes on 8 inputs"
    assert plan.inputs == 3000


def test_other_noise_needs_a_target(data: Any) -> None:
    boxed = SmoothedClassifier(halves, num_classes=2, noise=Uniform(1.0))
    some = (data[0][:20], data[1][:20])
    with pytest.raises(ValueError, match="target_radius must be given for noise=uniform:1"):
        plan_dataset(boxed, some, seconds=0.1)
    plan = plan_dataset(boxed, some, target_radius=0.2, n=1000, seconds=0.1, seed=0)
    assert plan.noise == "uniform:1, l1"
    assert plan.reachable[0] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "target"),
    [(Uniform(1.0), 0.2), (Laplace(0.5), 0.25), (Splitting(0.6), [0.1, 0.3]), (Ablation(5, 20), 1)],
    ids=str,
)
def test_early_decisions_of_other_noise_take_the_votes_planned(
    noise: Any, target: Any, tmp_path: Path
) -> None:
    hidden = isinstance(noise, Ablation)
    spread_out = torch.linspace(0.0, 1.0, 120)[:, None]
    x = (torch.linspace(0.0, 0.99, 20) < spread_out).float() if hidden else spread_out

    def above(batch: Any) -> Any:  # class 1 where the mean, of 5 of 20 most are ones, is above
        mean = batch.mean(dim=1) - (0.125 if hidden else 0.0)
        return torch.stack([-mean, mean], dim=1)

    smoothed = SmoothedClassifier(above, 2, noise=noise, mask=0.0 if hidden else None)
    asked: Any = {"target_radius": target, "n": 2000, "alpha": 0.001}
    plan = plan_dataset(smoothed, (x, torch.ones(120).long()), seconds=1.0, seed=0, **asked)
    table = certify_dataset(
        smoothed, (x, torch.ones(120).long()), tmp_path / "t.tsv", seed=1, progress=False, **asked
    )
    assert plan.early is not None
    spread = table["n"].std() * (1 / 120 + 1 / plan.early.simulated) ** 0.5
    # Of several radii the plan is that of the one that takes the most alone.
    assert abs(plan.early.votes - table["n"].mean()) < 4 * spread + 0.05 * table["n"].mean()
    assert plan.cost is not None
    assert plan.cost.seconds_per_early_input > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": 0}, "seconds=0.0 must be positive"),
        ({"n": 0}, "n=0 must be"),
        ({"precision": 0.1}, "must be None with precision"),
        ({"probability": 2.0}, "probability=2.0 must be"),
        ({"skip": 0}, "skip=0 must be"),
    ],
)
def test_what_is_refused(smoothed: Any, data: Any, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_dataset(smoothed, data, **ASKED | {"seconds": 0.1} | change)


def test_other_objects_are_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="must be a SmoothedClassifier"):
        plan_dataset(halves, data, **ASKED)  # type: ignore[arg-type]
