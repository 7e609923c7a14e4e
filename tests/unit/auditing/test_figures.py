"""Pictures of audits: what is drawn is what was computed; wrong requests are refused."""

import numpy as np
import pytest
from scipy.stats import binom, poisson

from rsverify import audit, audit_bets, audit_capital, clopper_pearson_lower
from rsverify.auditing.plot_rows import MOST_ROWS

FAIR = {"half": {"law": ("points", (0.0, 1.0), (0.5, 0.5))}, "flat": {"law": ("beta", 1.0, 1.0)}}


def path_bound(x, alpha):
    t = np.arange(1, x.shape[-1] + 1)
    return np.cumsum(x, axis=-1) / t - np.sqrt(np.log(1 / alpha) / (2 * t))


@pytest.fixture(scope="module")
def sequence():
    return audit(path_bound, n=60, alpha=0.2, replications=3000, scenarios=FAIR)


@pytest.fixture(scope="module")
def proportion():
    return audit("clopper_pearson_lower", estimand="proportion", n=8, alpha=0.05)


def test_sawtooth_is_the_miscoverage_and_marks_each_jump(proportion, tmp_path):
    axes = proportion.plot(tmp_path / "saw.png").axes[0]
    p, value = axes.lines[0].get_data()
    k = np.arange(9)
    limits = clopper_pearson_lower(k, 8, 0.05)
    inside = np.isfinite(p)
    assert inside.sum() >= 9 * 8  # nine counts, some points beside each
    for q, v in zip(p[inside][::7], value[inside][::7], strict=True):
        assert v == pytest.approx(binom.pmf(k[limits > q], 8, q).sum(), abs=1e-12)
    (marked,) = [x for x in axes.lines if x.get_label() == "at a discontinuity of the bound"]
    np.testing.assert_array_equal(marked.get_xdata(), limits[limits > 0])


def test_many_jumps_are_enlarged_around_the_worst(tmp_path):
    report = audit("clopper_pearson_upper", estimand="proportion", n=200, alpha=0.05)
    whole, part = report.plot(tmp_path / "saw.pdf").axes
    assert whole.get_xlim() == (0, 1)
    low, high = part.get_xlim()
    assert low <= report.worst.truth <= high
    assert high - low < 0.2


@pytest.mark.parametrize("estimand", ["difference", "probit:first"])
def test_map_is_the_miscoverage_at_laws_of_its_cells(estimand, tmp_path):
    def bound(counts, alpha):
        k, n = counts[:, 0], counts.sum(axis=1)
        low = np.where(k == n, alpha ** (1 / n), -1.0)
        return low if estimand == "difference" else np.where(k == n, 0.5, -np.inf)

    report = audit(bound, estimand=estimand, n=6, alpha=0.05)
    figure = report.plot(tmp_path / "map.png")
    values = figure.axes[0].collections[0].get_array().reshape(64, 64)
    # The cell of p1 in (60, 61)/64 and p2 in (1, 2)/64; only (6, 0, 0) can miss.
    margin = {"difference": 0.05 ** (1 / 6), "probit:first": 0.5}[estimand]
    q1 = (60 + np.array([1, 3, 5]) / 6) / 64
    if estimand == "difference":
        q2 = (1 + np.array([1, 3, 5]) / 6) / 64
        truths = [a - max(b, 1 - a - b) for a in q1 for b in q2]
        missing = [a for a, t in zip(np.repeat(q1, 3), truths, strict=True) if t < margin]
        expected = max(missing) ** 6 if missing else 0.0
    else:
        expected = 0.0  # the true margin is far above 0.5
    seen = values[1, 60]
    assert seen == pytest.approx(np.log2(max(expected / 0.05, 1 / 16)), abs=1e-9)


def test_zip_shows_every_scenario_and_the_non_coverage_on_top(sequence, tmp_path):
    left, right = sequence.plot(tmp_path / "zip.png", kind="zip").axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["half", "flat"]
    covered, missed = right.collections
    top = [s[0, 1] for s in missed.get_segments()]
    below = [s[0, 1] for s in covered.get_segments()]
    assert min(top) > max(below)
    share = 1 - min(top) / 100
    assert share == pytest.approx(sequence.worst.miscoverage, abs=0.01)


def test_time_ends_at_the_miscoverage_of_the_table(sequence, tmp_path):
    (axes,) = sequence.plot(tmp_path / "time.png").axes
    (worst,) = [x for x in axes.lines if x.get_label().startswith(sequence.worst.scenario)]
    share = worst.get_ydata()
    assert len(share) == 60
    assert (np.diff(share) >= 0).all()
    assert share[-1] == pytest.approx(sequence.worst.miscoverage, abs=1e-12)


@pytest.mark.parametrize("estimand", ["proportion", "difference", "probit:first"])
def test_a_bound_that_claims_nothing_is_drawn_too(estimand, tmp_path):
    least = 0.0 if estimand == "proportion" else -1.0
    report = audit(
        lambda counts, _a: np.full(len(counts), least), estimand=estimand, n=3, alpha=0.05
    )
    report.plot(tmp_path / "nothing.png")
    assert (tmp_path / "nothing.png").stat().st_size > 0


def test_same_report_same_picture(sequence, proportion, tmp_path):
    for report in (sequence, proportion):
        for ending in ("png", "pdf"):
            report.plot(tmp_path / f"a.{ending}", force=True)
            report.plot(tmp_path / f"b.{ending}", force=True)
            first, second = (tmp_path / f"{x}.{ending}" for x in "ab")
            assert first.read_bytes() == second.read_bytes()


def short_only(x, _m, _alpha):
    if x.shape[-1] > 5:
        raise ArithmeticError("too long")
    return np.zeros_like(x)


def test_bets_are_drawn_on_both_futures(tmp_path):
    def late(x, m, _alpha):
        return np.where(np.arange(x.shape[1]) < 4, 0.25, x - m)

    report = audit_bets(late, n=12, alpha=0.05)
    above, below = report.plot(tmp_path / "bets.png").axes
    x, other = (line.get_ydata() for line in above.lines[:2])
    bets, changed = (line.get_ydata() for line in below.lines[:2])
    np.testing.assert_array_equal(x[:4], other[:4])
    assert (bets[:4] == changed[:4]).all()
    assert bets[4] != changed[4]
    kept = audit_bets(lambda x, _m, _a: np.full_like(x, 0.25), n=12, alpha=0.05)
    assert len(kept.plot(tmp_path / "kept.png").axes) == 2


def test_rows_are_in_order_with_every_mark_in_the_legend(tmp_path):
    def bold(x, m, _alpha):
        return np.cumprod(1 + 0.9 * np.abs(x - m), axis=-1)

    (axes,) = audit_capital(bold, n=4, alpha=0.05).plot(tmp_path / "rows.png").axes
    marks = [line for line in axes.lines if line.get_marker() != "None"]
    values, places = (np.concatenate([m.get_data()[i] for m in marks]) for i in (0, 1))
    assert (np.diff(values[np.argsort(places)]) >= 0).all()  # the largest on top
    shown = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {m.get_label() for m in marks} | {"initial capital"} == shown


@pytest.mark.parametrize(
    ("estimand", "n", "kind"),
    [("two-proportion-difference", 6, "map"), ("poisson-rate", 3, "curve")],
)
def test_models_of_counts_are_drawn_over_their_parameters(estimand, n, kind, tmp_path):
    def nothing_but_at_one_outcome(counts, _alpha):
        return np.where(counts[:, 0] == 3, 0.5, -np.inf if kind == "map" else 0.0)

    report = audit(nothing_but_at_one_outcome, estimand=estimand, n=n, alpha=0.05)
    axes = report.plot(tmp_path / "model.png", kind=kind).axes[0]
    if kind == "curve":
        rate, value = axes.lines[0].get_data()
        expected = np.where(rate < 0.5, poisson.pmf(3, n * rate), 0.0)
        np.testing.assert_allclose(value, expected, atol=1e-12)
    else:
        middle = (np.arange(64) + 0.5) / 64
        p1, p2 = np.meshgrid(middle, middle)
        expected = np.where(p1 - p2 < 0.5, binom.pmf(3, n, p1), 0.0)
        doublings = np.log2(np.maximum(expected / 0.05, 1 / 16))
        drawn = axes.collections[0].get_array().reshape(64, 64)
        np.testing.assert_allclose(drawn, doublings, atol=1e-9)


def test_the_limits_shown_are_not_of_samples_that_are_all_alike(tmp_path):
    suite = {
        "alike": {"law": ("points", (0.999999,), (1.0,))},
        "rarely 0": {"law": ("points", (0.0, 1.0), (0.02, 0.98))},
    }
    report = audit(lambda x, _a: x.mean(axis=1), n=20, alpha=0.05, scenarios=suite)
    right = report.plot(tmp_path / "zip.png", kind="zip").axes[1]
    assert "rarely 0" in right.get_title()


def test_what_cannot_be_drawn_is_refused(sequence, proportion, tmp_path):
    with pytest.raises(ValueError, match="kind='map' must be 'time' or 'zip' or 'scenarios'"):
        sequence.plot(tmp_path / "a.png", kind="map")
    with pytest.raises(ValueError, match="kind='zip' must be 'sawtooth'"):
        proportion.plot(tmp_path / "a.png", kind="zip")
    with pytest.raises(ValueError, match="must end in one of"):
        proportion.plot(tmp_path / "a.doc")
    betting = audit_bets(short_only, n=8, alpha=0.05)
    with pytest.raises(ValueError, match="has no figure"):
        betting.plot(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def marked(axes):
    return np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() != "None"])


def test_capital_is_drawn_by_law(tmp_path):
    def half(x, m, alpha):
        del alpha
        return np.cumprod(1 + 0.5 * (x - m), axis=-1)

    def peeking(x, m, alpha):
        del alpha
        return np.cumprod(1 + np.abs(x - m), axis=-1)

    for capital in (half, peeking):
        report = audit_capital(capital, n=6, alpha=0.05)
        axes = report.plot(tmp_path / "capital.png", force=True).axes[0]
        drawn = np.concatenate(
            [line.get_xdata() for line in axes.lines if line.get_marker() != "None"]
        )
        expected = np.clip([r.miscoverage for r in report.ranked[:MOST_ROWS]], 0, 10)
        np.testing.assert_allclose(np.sort(drawn), np.sort(expected))
        assert len(axes.get_yticks()) == min(MOST_ROWS, len(report.rows))


def test_staircases_are_drawn_claim_by_claim(tmp_path):
    def trivial(counts, alpha):
        del alpha
        return counts[:, 0] / counts.sum(axis=1) - 0.9

    report = audit(trivial, estimand="difference:first", n=401, alpha=0.05)
    assert report.design["method"] == "exact"
    axes = report.plot(tmp_path / "claims.svg").axes[0]
    drawn = marked(axes)
    np.testing.assert_allclose(np.sort(drawn), [r.truth for r in report.rows])
