"""Several radii of one input from one sequence of votes, and a radius within a width."""

import math

import pytest
from scipy.stats import norm

torch = pytest.importorskip("torch")

from rsverify import (  # noqa: E402
    IntervalCertificate,
    RadiiCertificate,
    SmoothedClassifier,
    certify_dataset,
    decide_counts,
    radius_interval_counts,
)
from rsverify.certificates.looks import look_after  # noqa: E402

INPUT = torch.tensor([1.0, 0.0])


def halves(batch):
    return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)


SMOOTHED = SmoothedClassifier(halves, 2, 0.5)  # the true radius is 1
COMMON = {"n": 20_000, "seed": 0}


def test_each_radius_is_decided_from_the_same_votes():
    found = SMOOTHED.certify(INPUT, target_radius=[1.4, 0.25, 0.75], **COMMON)

    assert isinstance(found, RadiiCertificate)
    assert found.target_radii == (0.25, 0.75, 1.4)
    assert found.decisions == ("radius >= target", "radius >= target", "radius < target")
    assert not any(found.futile)
    assert 0.75 <= found.radius < 1.0
    assert found.n < 20_000
    whole = SMOOTHED.certify(INPUT, bound="cohen", **COMMON)
    assert found.selection_counts == whole.selection_counts
    again = decide_counts(
        found.counts,
        selection=found.selection_counts,
        target_radius=[0.25, 0.75, 1.4],
        sigma=0.5,
        alpha=1e-3,
        horizon=20_000,
        futility=0.1,
    )
    assert again.decisions == found.decisions
    assert again.radius == found.radius
    for radius, decision in zip(found.target_radii, found.decisions, strict=True):
        alone = SMOOTHED.certify(INPUT, target_radius=radius, **COMMON)
        assert alone.decision == decision
        # A cell between two radii costs log 2; those on the outside cost nothing.
        assert alone.n <= found.n


def test_a_list_of_one_radius_is_decided_as_the_radius():
    one = SMOOTHED.certify(INPUT, target_radius=[0.5], **COMMON)
    alone = SMOOTHED.certify(INPUT, target_radius=0.5, **COMMON)
    assert (one.n, one.counts, one.radius) == (alone.n, alone.counts, alone.radius)
    assert one.decisions == (alone.decision,)


@pytest.mark.parametrize("asked", [{"target_radius": (0.3, 0.9)}, {"precision": 0.2}])
def test_batches_make_no_difference(asked):
    found = [SMOOTHED.certify(INPUT, batch_size=b, **asked, **COMMON) for b in (7, 256, 5000)]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "asked", [{"precision": 0.2}, {"precision": 0.1}, {"relative_precision": 0.1}]
)
@pytest.mark.parametrize("radius", ["R2", "R1"])
def test_sampling_stops_when_the_radius_is_known_so_well(asked, radius):
    found = SMOOTHED.certify(INPUT, radius=radius, **asked, **COMMON)

    assert isinstance(found, IntervalCertificate)
    assert found.precise
    assert 50 <= found.n < 20_000
    if radius == "R2":
        assert found.radius < 1.0 < found.radius_upper
    if "precision" in asked:
        assert found.radius_upper - found.radius <= asked["precision"]
    else:
        assert found.radius >= 0.9 * found.radius_upper
    assert found.margin < found.margin_upper
    before = 0
    while look_after(before) < found.n:
        before = look_after(before)
    question = {"selection": found.selection_counts, "sigma": 0.5, "alpha": 1e-3, "radius": radius}
    again = radius_interval_counts(found.counts, **question, **asked)
    assert (again.radius, again.radius_upper, again.precise) == (
        found.radius,
        found.radius_upper,
        True,
    )
    shorter = SMOOTHED.certify(INPUT, radius=radius, n=before, seed=0, **asked)
    assert not shorter.precise


def test_a_radius_of_nothing_is_known_soon():
    found = SMOOTHED.certify(INPUT, y=0, precision=0.05, **COMMON)
    assert (found.radius, found.radius_upper, found.precise) == (0.0, 0.0, True)
    assert found.n < 200
    relative = SMOOTHED.certify(INPUT, y=0, relative_precision=0.05, **COMMON)
    assert relative.n == found.n


def test_too_few_votes_leave_the_radius_open():
    found = SMOOTHED.certify(INPUT, precision=0.01, n=60, n0=10, seed=0)
    assert not found.precise
    assert found.n == 60
    assert math.isinf(found.radius_upper) == math.isinf(found.margin_upper)
    assert "after 60 votes" in str(found)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"precision": 0.1, "relative_precision": 0.1}, "relative_precision=0.1"),
        ({"precision": 0.1, "target_radius": 0.5}, "target_radius=0.5 must be None with precision"),
        ({"precision": 0.1, "bound": "cohen"}, "bound='cohen'"),
        ({"relative_precision": 0.1, "ordering": "difference"}, "ordering='difference'"),
        ({"target_radius": [0.1, 0.2], "bound": "betting"}, "bound='betting'"),
        ({"target_radius": [0.1, 0.1]}, "target_radius="),
        ({"target_radius": []}, "target_radius of shape"),
        ({"target_radius": [0.1, math.nan]}, "target_radius"),
        ({"precision": 0.0}, "precision=0.0"),
        ({"precision": -1.0}, "precision=-1.0"),
        ({"relative_precision": 1.0}, "relative_precision=1.0"),
        ({"relative_precision": [0.1]}, "relative_precision of shape"),
    ],
)
def test_bad_questions_are_refused_before_sampling(asked, message):
    def model(_):
        pytest.fail("sampled")

    with pytest.raises(ValueError, match=message):
        SmoothedClassifier(model, 2, 0.5).certify(INPUT, n=100, **asked)


POINTS = torch.tensor([[1.0, 0.0], [-0.4, 0.0], [0.1, 0.0], [0.6, 0.0]])
LABELS = torch.tensor([1, 1, 1, 1])


@pytest.mark.parametrize(
    ("asked", "columns"),
    [
        ({"target_radius": [0.25, 0.5]}, ["decision_0.25", "decision_0.5"]),
        ({"precision": 0.2}, ["radius_upper", "precise"]),
        ({"relative_precision": 0.3}, ["radius_upper", "precise"]),
    ],
)
def test_a_table_has_a_column_each_and_is_continued(tmp_path, asked, columns):
    out, options = tmp_path / "table.tsv", {"n": 3000, "seed": 3, "record_time": False}
    certify_dataset(SMOOTHED, (POINTS, LABELS), out, max_inputs=2, **options, **asked)
    table = certify_dataset(SMOOTHED, (POINTS, LABELS), out, **options, **asked)
    assert len(table) == 4
    whole = tmp_path / "whole.tsv"
    certify_dataset(SMOOTHED, (POINTS, LABELS), whole, **options, **asked)
    assert out.read_bytes() == whole.read_bytes()
    for i in range(4):
        alone = SMOOTHED.certify(POINTS[i], n=3000, seed=(3, i), **asked)
        row = table.iloc[i]
        assert row["n"] == alone.n
        assert row["bound"] == "anytime"
        values = (
            alone.decisions
            if isinstance(alone, RadiiCertificate)
            else (alone.radius_upper, alone.precise)
        )
        assert tuple(row[columns]) == values
    with pytest.raises(ValueError, match=r"must be .* to resume"):
        certify_dataset(SMOOTHED, (POINTS, LABELS), out, **options)


def test_an_edited_answer_is_found(tmp_path):
    out = tmp_path / "table.tsv"
    options = {"n": 3000, "seed": 3, "target_radius": [0.25, 0.5]}
    certify_dataset(SMOOTHED, (POINTS, LABELS), out, max_inputs=2, **options)
    text = out.read_text()
    assert "radius < target" in text
    lines = [line.rpartition("\t")[0] for line in text.splitlines()]  # without checksums
    out.write_text("\n".join(lines).replace("radius < target", "radius >= target") + "\n")
    with pytest.raises(ValueError, match=r"must be 'radius < target'|checksum"):
        certify_dataset(SMOOTHED, (POINTS, LABELS), out, **options)


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_certify_itself_is_rarely_wrong(alpha):
    """The true radius lies between two targets, a little above and below: any answer is checked.

    Each case fails by chance with probability 1e-6 at most: the lower limit of the error.
    """
    from rsverify import clopper_pearson_lower

    runs = 200
    wrong = {"targets": 0, "precision": 0}
    for run in range(runs):
        common = {"alpha": alpha, "n": 1000, "n0": 20, "batch_size": 250, "seed": (5, run)}
        radii = SMOOTHED.certify(INPUT, target_radius=[0.7, 0.999, 1.001, 1.3], **common)
        truth = ("radius >= target",) * 2 + ("radius < target",) * 2
        bad = [d not in (t, "undecided") for d, t in zip(radii.decisions, truth, strict=True)]
        wrong["targets"] += any(bad) or (radii.y == 1 and radii.radius > 1.0)
        ends = SMOOTHED.certify(INPUT, precision=0.1, **common)
        truth_radius = 1.0 if ends.y == 1 else 0.0
        wrong["precision"] += not ends.radius <= truth_radius <= ends.radius_upper
    for count in wrong.values():
        assert clopper_pearson_lower(count, runs, 1e-6) <= alpha


def bands(batch):
    """Class 1 above 1/2, class 2 (unknown, say) down to -0.2, class 0 below; class 3 never."""
    z = batch[:, 0]
    top, middle = z > 0.5, (z > -0.2) & (z <= 0.5)
    return torch.stack([~top & ~middle, top, middle, torch.zeros_like(top)], dim=1).float()


BANDS = SmoothedClassifier(bands, 4, 0.5)


def chances(x):
    """Return the probabilities of the four bands at x."""
    above, below = norm.sf((0.5 - x) / 0.5), norm.cdf((-0.2 - x) / 0.5)
    return [below, above, 1 - above - below, 0.0]


def true_radius(found, x):
    """Return the radius of the class certified over the classes that count."""
    p = chances(x)
    out = {found.y, *found.ignored, *found.top_others}
    rival = max(p[j] for j in range(4) if j not in out)
    return max(0.0, 0.25 * float(norm.ppf(p[found.y]) - norm.ppf(rival))) if rival else math.inf


@pytest.mark.parametrize("extra", [{"ignore": [2]}, {"top_k": 2}, {"top_k": 2, "ignore": (3,)}])
def test_classes_that_do_not_count_are_said_and_left_out(tmp_path, extra):
    common = {"n": 20_000, "seed": 0}
    plain = BANDS.certify(INPUT, target_radius=[0.4, 0.6], **common)
    assert plain.decisions == ("radius >= target", "radius < target")
    found = BANDS.certify(INPUT, target_radius=[0.4, 0.6], **extra, **common)
    assert found.decisions == ("radius >= target", "radius >= target")
    assert found.ignored == tuple(extra.get("ignore", ()))
    assert found.top_others == ((2,) if "top_k" in extra else ())
    again = decide_counts(
        found.counts,
        selection=found.selection_counts,
        target_radius=[0.4, 0.6],
        sigma=0.5,
        alpha=1e-3,
        horizon=20_000,
        futility=0.1,
        **extra,
    )
    assert (again.decisions, again.radius) == (found.decisions, found.radius)
    fixed = BANDS.certify(INPUT, n=2000, seed=0, **extra)
    assert fixed.radius > BANDS.certify(INPUT, n=2000, seed=0).radius
    # A table says it, stops and goes on, and certifies given classes too.
    out, asked = tmp_path / "table.tsv", {"target_radius": 0.7, "n": 3000, "seed": 3, **extra}
    for label in (False, True):
        options = {**asked, "certify_label": label, "force": True}
        certify_dataset(BANDS, (POINTS, LABELS), out, max_inputs=2, **options)
        table = certify_dataset(BANDS, (POINTS, LABELS), out, **{**options, "force": False})
        for i in range(4):
            alone = BANDS.certify(POINTS[i], y=1 if label else None, **{**asked, "seed": (3, i)})
            row = table.iloc[i]
            assert (row["n"], row["decision"]) == (alone.n, alone.decision)
            if "ignore" in extra:
                assert str(int(row["ignored"])) == str(extra["ignore"][0])
            if "top_k" in extra:
                assert str(int(row["top_others"])) == str(alone.top_others[0])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"ignore": [4]}, "must be classes between 0 and 3"),
        ({"ignore": [1], "y": 1}, "y=1 must not be one of ignore"),
        ({"top_k": 4}, "top_k=4 must be"),
        ({"top_k": 0}, "top_k=0 must be"),
        ({"ignore": [0], "bound": "betting"}, "must be left out for bound='betting'"),
        ({"ignore": [0, 2], "top_k": 2}, "must leave a runner-up"),
    ],
)
def test_classes_that_cannot_be_left_out_are_refused_before_sampling(asked, message):
    def model(_):
        pytest.fail("sampled")

    with pytest.raises(ValueError, match=message):
        SmoothedClassifier(model, 4, 0.5).certify(INPUT, n=100, **asked)


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("extra", [{"ignore": [2]}, {"top_k": 2}])
def test_certify_itself_is_rarely_wrong_where_classes_are_left_out(extra, alpha):
    """Targets a little above and below the true radius; ends of an interval."""
    from rsverify import clopper_pearson_lower

    runs, wrong = 100, {"targets": 0, "precision": 0}
    near = 0.25 * float(norm.ppf(chances(1.0)[1]) - norm.ppf(chances(1.0)[0]))
    for run in range(runs):
        common = {"alpha": alpha, "n": 1000, "n0": 20, "batch_size": 250, "seed": (6, run), **extra}
        asked = [0.7 * near, 0.999 * near, 1.001 * near, 1.4 * near]
        radii = BANDS.certify(INPUT, target_radius=asked, **common)
        true = true_radius(radii, 1.0)
        truth = ["radius >= target" if r <= true else "radius < target" for r in asked]
        bad = [d not in (t, "undecided") for d, t in zip(radii.decisions, truth, strict=True)]
        wrong["targets"] += any(bad) or radii.radius > true
        ends = BANDS.certify(INPUT, precision=0.3, **common)
        wrong["precision"] += not ends.radius <= true_radius(ends, 1.0) <= ends.radius_upper
    for count in wrong.values():
        assert clopper_pearson_lower(count, runs, 1e-6) <= alpha
