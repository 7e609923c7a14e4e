"""Radii of every noise: against definitions, against worst cases, and never above either."""

import itertools
import math
import pickle
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from rsverify import certify_counts
from rsverify.certificates.radius import certified_radius_r2
from rsverify.noise import (
    Ablation,
    Deletion,
    DiscreteGaussian,
    Gaussian,
    Laplace,
    Lp,
    Noise,
    Splitting,
    Uniform,
    parse_noise,
    parse_norm,
)
from rsverify.reference import noise as reference

RNG = np.random.default_rng(20261127)
EVERY = (
    Gaussian(0.25),
    Gaussian([0.5, 1.0, 2.0]),
    DiscreteGaussian(0.25, 1 / 255),
    Uniform(0.5),
    Splitting(2.0),
    Laplace(0.3),
    Ablation(45, 784),
    Deletion(0.9),
)
DIFFERENCES = (1e-9, 0.01, 0.2, 0.5, 0.77, 0.95, 0.998, 1 - 1e-9, 1.0)


def just_below(value: float, exact: object, relative: float = 1e-13) -> bool:
    """Return whether a float is at most an exact value and close to it."""
    with mp.workdps(60):
        return bool(mp.mpf(exact) * (1 - relative) <= value <= mp.mpf(exact))


@pytest.mark.parametrize("sigma", [1e-3, 0.25, 3.0])
@pytest.mark.parametrize(("p1", "p2"), [(0.6, 0.4), (0.9, 0.05), (0.3, 0.1), (0.9999, 1e-6)])
def test_gaussian_radius_is_where_the_moved_quantiles_meet(
    sigma: float, p1: float, p2: float
) -> None:
    with mp.workdps(60):
        margin = float(mp.sqrt(2) * (mp.erfinv(2 * mp.mpf(p1) - 1) - mp.erfinv(2 * mp.mpf(p2) - 1)))
    margin = math.nextafter(margin, 0)
    exact = reference.gaussian_radius(p1, p2, sigma)
    assert just_below(Gaussian(sigma).radius(margin), exact)
    assert Gaussian(sigma).radius(margin, norm="l1") == Gaussian(sigma).radius(margin)
    assert Gaussian(sigma).radius(margin) <= certified_radius_r2(margin, sigma)


@pytest.mark.parametrize("scale", [0.01, 0.5])
@pytest.mark.parametrize(
    ("p1", "p2"), [(0.6, 0.4), (0.9, 0.05), (0.9, 0.001), (0.3, 0.1), (0.4, 0.39), (0.51, 0.2)]
)
def test_laplace_radius_is_where_the_moved_quantiles_meet(
    scale: float, p1: float, p2: float
) -> None:
    with mp.workdps(60):

        def quantile(p: float) -> mp.mpf:
            return mp.log(2 * mp.mpf(p)) if p <= 0.5 else -mp.log(2 * (1 - mp.mpf(p)))

        margin = math.nextafter(float(quantile(p1) - quantile(p2)), 0)
    radius = Laplace(scale).radius(margin)
    assert just_below(radius, reference.laplace_radius(p1, p2, scale))
    # Never less than the two rules that use the difference or the ratio alone.
    known = max(-scale * math.log1p(-(p1 - p2)), 0.5 * scale * math.log(p1 / p2))
    assert radius >= known * (1 - 1e-12)
    if p1 == 0.9 and p2 == 0.001:
        assert radius > 1.1 * known


@pytest.mark.parametrize("shift", [(0.7, 0.7), (1.2, 0.2), (0.4, 1.0)])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.6, 0.9])
def test_no_direction_is_worse_under_laplace_noise_than_one_coordinate(
    shift: tuple[float, float], share: float
) -> None:
    """The Neyman-Pearson set in two dimensions, on a fine grid, against the moved quantile."""
    z = np.linspace(-16, 16, 1601)
    here = np.exp(-np.abs(z)) / 2
    mass = np.outer(here, here) * (z[1] - z[0]) ** 2
    ratio = np.add.outer(*(np.abs(z) - np.abs(z - s) for s in shift))  # of moved to unmoved, log
    order = np.argsort(ratio, axis=None, kind="stable")
    held = np.cumsum(mass.ravel()[order])
    moved = np.cumsum((mass * np.exp(ratio)).ravel()[order])
    least = np.interp(share, held, moved)  # what a set of this mass has left at the moved input
    stated = float(reference.laplace_cdf(reference.laplace_ppf(share) - sum(shift)))
    assert stated <= least * (1 + 2e-3)


@pytest.mark.parametrize("scale", [1e-308, 1e-300, 1e-160, 137.5, 1e300, 1.7e308])
@pytest.mark.parametrize("margin", [5e-324, 1e-310, 3e-308, 1e-291, 1e-160, 0.3, 1.0])
def test_no_radius_is_above_its_formula_where_floats_lose_digits(
    margin: float, scale: float
) -> None:
    for dimension, power in itertools.product((1, 3, 10**9), (1.0, 1.3, 2.5, 40.0, math.inf)):
        norm = "linf" if math.isinf(power) else Lp(power)
        with mp.workdps(60):
            m, s, d = mp.mpf(margin), mp.mpf(scale), mp.mpf(dimension)
            share = 1 / mp.mpf(power)
            box = -2 * s * mp.expm1(mp.log1p(-m / 2) / d)
            taxicab = s * m * d ** (share - 1)
            formulas = {
                Gaussian(scale): s * m / 2 * (1 if power <= 2 else d ** (share - mp.mpf(1) / 2)),
                Gaussian([scale] * 3): s * m / 2 * (1 if power <= 2 else 3 ** (share - 0.5)),
                Laplace(scale): s * m / 2 * d ** (share - 1),
                Uniform(scale): box if norm == "linf" else max(box, taxicab),
            }
            for noise, exact in formulas.items():
                size = 3 if noise == Gaussian([scale] * 3) else dimension
                found = noise.radius(margin, norm=norm, dimension=size)
                assert 0 <= found <= exact, (noise, norm, dimension)
                if margin > 1e-280 and 1e-280 < exact < 1e300:
                    assert found >= exact * (1 - 1e-13)


@pytest.mark.parametrize("margin", DIFFERENCES)
@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_uniform_radii_are_where_the_overlap_is_used_up(margin: float, dimension: int) -> None:
    noise = Uniform(0.75)
    alone = reference.uniform_radius(margin, lambda r: [r], 0.75)
    assert just_below(noise.radius(margin), alone)
    assert noise.radius(margin) == Splitting(0.75).radius(margin)
    box = reference.uniform_radius(margin, lambda r: [r] * dimension, 0.75)
    assert just_below(noise.radius(margin, norm="linf", dimension=dimension), box)


@pytest.mark.parametrize("power", [1.5, 2.0, 3.0, 50.0])
def test_uniform_radius_of_other_powers_holds_in_every_direction(power: float) -> None:
    noise, margin, dimension = Uniform(0.5), 0.6, 5
    radius = noise.radius(margin, norm=Lp(power), dimension=dimension)
    directions = RNG.laplace(size=(20_000, dimension)) * RNG.integers(0, 2, (20_000, dimension))
    directions = directions[(directions != 0).any(axis=1)]
    directions = np.vstack([directions, np.ones(dimension), np.eye(dimension)])
    shifts = radius * directions / np.linalg.norm(directions, power, axis=1)[:, None]
    lost = 1 - np.prod(np.clip(1 - np.abs(shifts) / 1.0, 0, None), axis=1)
    assert 2 * lost.max() <= margin
    assert 2 * lost.max() > 0.8 * margin


@pytest.mark.parametrize("norm", ["l1", "l2", "linf", Lp(3), Lp(2.01), Lp(1.7)])
@pytest.mark.parametrize("sigma", [0.7, (0.5, 1.0, 2.0, 0.6)])
def test_gaussian_balls_lie_inside_the_ellipsoid_and_touch_it(norm: str, sigma: object) -> None:
    noise, margin, dimension = Gaussian(sigma), 1.9, 4
    spread = np.broadcast_to(np.asarray(sigma, dtype=float), dimension)
    radius = noise.radius(margin, norm=norm, dimension=dimension)
    power = {"l1": 1.0, "l2": 2.0, "linf": np.inf}.get(norm) or norm.power
    start = np.vstack([RNG.normal(size=(20_000, dimension)), np.eye(dimension), np.ones(dimension)])
    if np.isfinite(power) and power > 2:  # where the ball is thickest
        start = np.vstack([start, spread ** (-2 / (power - 2))])
    delta = radius * start / np.linalg.norm(start, power, axis=1)[:, None]
    reached = np.linalg.norm(delta / spread, axis=1).max()
    assert 0.999999 * margin / 2 <= reached <= margin / 2 * (1 + 1e-12)


@pytest.mark.parametrize("margin", DIFFERENCES)
@pytest.mark.parametrize(("keep", "of"), [(1, 2), (3, 10), (9, 10), (45, 784), (5, 20), (1, 1000)])
def test_ablation_radius_counts_choices(margin: float, keep: int, of: int) -> None:
    assert Ablation(keep, of).radius(margin) == reference.ablation_radius(
        Fraction(margin), keep, of
    )


@pytest.mark.parametrize(("keep", "of"), [(60, 10_001), (10_000, 20_001), (1, 12_345)])
def test_ablation_radius_of_many_entries_is_exact_too(keep: int, of: int) -> None:
    for changed in (1, 2, of // keep):
        unseen = Fraction(math.comb(of - changed, keep), math.comb(of, keep))
        at = min(1.0, float(2 * (1 - unseen)))
        for margin in (math.nextafter(at, 0), at, min(1.0, math.nextafter(at, 2)), 0.77):
            exact = reference.ablation_radius(Fraction(margin), keep, of)
            assert Ablation(keep, of).radius(margin) == exact


def test_ablation_radius_of_the_most_entries() -> None:
    """One kept of d: changes are seen with probability changes/d; two kept: squared, nearly."""
    of = 10**7
    assert Ablation(1, of).radius([0.5, 1.0]).tolist() == [of // 4 - 1, of // 2 - 1]
    assert Ablation(2, of).radius(0.5) == math.ceil(of * (1 - math.sqrt(0.75))) - 1
    # Half of all kept: one change is seen with probability 1/2, and 2 * 1/2 is not below 1.
    assert Ablation(of // 2, of).radius([0.999, 1.0]).tolist() == [0, 0]
    assert Ablation(of // 2 - 1, of).radius(1.0) == 1


def test_ablation_by_enumeration() -> None:
    """Of all choices of 3 of 8 entries, those that see a changed entry may all change sides."""
    noise = Ablation(3, 8)
    for changed in range(1, 8):
        seen = sum(min(c) < changed for c in itertools.combinations(range(8), 3)) / 56
        if 2 * seen < 1:
            assert noise.radius(2 * seen) == changed - 1
            assert noise.radius(2 * seen + 1e-12) == changed
    assert noise.radius(1.0) == 1  # with two entries changed, 36 of 56 choices see one


@pytest.mark.parametrize("margin", DIFFERENCES)
@pytest.mark.parametrize("probability", [1e-6, 0.3, 0.5, 0.9, 0.97, 0.999])
def test_deletion_radius_counts_edits(margin: float, probability: float) -> None:
    exact = reference.deletion_radius(Fraction(margin), Fraction(probability))
    assert Deletion(probability).radius(margin) == exact


@pytest.mark.parametrize("edits", [1, 2, 3, 6, 7, 10, 20])
def test_deletion_radius_at_the_edge_of_a_whole_number(edits: int) -> None:
    """Probabilities for so many edits at the largest margin, rounded to floats: up or down."""
    above = 0.5 ** (1 / edits)
    for probability in (above, math.nextafter(above, 0), math.nextafter(above, 1)):
        margin = Fraction(1)
        exact = reference.deletion_radius(margin, Fraction(probability))
        assert Deletion(probability).radius(1.0) == exact
    assert Deletion(0.5).radius([0.0, 5e-324, 1.0, math.nextafter(1, 0)]).tolist() == [0, 0, 0, 0]
    near = 1 - 2.0**-53  # where floats know no whole numbers
    assert Deletion(near).radius(1.0) == 6243314768165358


def shortened(word: str, probability: float) -> dict[str, float]:
    """Return the distribution of what is left of a word."""
    out: dict[str, float] = {}
    for kept in itertools.product([False, True], repeat=len(word)):
        rest = "".join(c for c, k in zip(word, kept, strict=True) if k)
        weight = math.prod(1 - probability if k else probability for k in kept)
        out[rest] = out.get(rest, 0.0) + weight
    return out


def edit_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


@pytest.mark.parametrize("probability", [0.5, 0.8])
def test_no_edit_changes_what_is_left_by_more_than_the_rule_says(probability: float) -> None:
    words = ["".join(w) for n in range(5) for w in itertools.product("ab", repeat=n)]
    left = {w: shortened(w, probability) for w in words}
    worst = [0.0] * 5
    for a, b in itertools.combinations(words, 2):
        keys = left[a].keys() | left[b].keys()
        gap = sum(abs(left[a].get(k, 0) - left[b].get(k, 0)) for k in keys) / 2
        worst[edit_distance(a, b)] = max(worst[edit_distance(a, b)], gap)
    for edits in range(1, 5):
        assert worst[edits] <= 1 - probability**edits + 1e-12
    assert worst[1] >= 0.9 * (1 - probability)


def test_published_values() -> None:
    """σ/2 (Φ⁻¹(.95) − Φ⁻¹(.05)), 2λ(p − ½), −λ log 2(1 − p): p_y alone, p = .95."""
    p, q = 0.95, 0.05
    assert Gaussian(0.5).radius(2 * stats.norm.ppf(p)) == pytest.approx(0.5 * stats.norm.ppf(p))
    assert Uniform(0.5).radius(p - q) == pytest.approx(2 * 0.5 * (p - 0.5))
    assert Laplace(0.5).radius(-2 * math.log(2 * q)) == pytest.approx(-0.5 * math.log(2 * q))


@pytest.mark.parametrize("noise", EVERY, ids=str)
def test_text_and_pickle_come_back(noise: Noise) -> None:
    assert parse_noise(str(noise)) == noise
    assert pickle.loads(pickle.dumps(noise)) == noise
    assert hash(noise) == hash(parse_noise(str(noise)))


@pytest.mark.parametrize("noise", EVERY, ids=str)
def test_radius_rises_with_the_margin_and_is_zero_below(noise: Noise) -> None:
    margins = np.linspace(-1, 1, 101)
    for norm in noise.norms:
        radii = noise.radius(margins, norm=norm, dimension=784 if not _sized(noise) else 3)
        assert (np.diff(radii) >= 0).all()
        assert (radii[margins <= 0] == 0).all()
        assert radii[-1] > 0
        assert (radii.dtype.kind == "i") is noise.integer
    assert noise.radius(-math.inf) == 0


def _sized(noise: Noise) -> bool:
    return isinstance(noise, Gaussian) and isinstance(noise.sigma, tuple)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Uniform(0.5).radius(0.5, norm="l0"), "norm='l0' must be one of 'l1', 'l2'"),
        (lambda: Uniform(0.5).radius(0.5, norm="l0"), "Ablation has one"),
        (lambda: Ablation(3, 9).radius(0.5, norm="l2"), "norm='l2' must be one of 'l0'"),
        (lambda: Deletion(0.5).radius(0.5, norm=Lp(2)), "must be one of 'edit'"),
        (lambda: Splitting(0.5).radius(0.5, norm="linf"), "must be one of 'l1' for splitting"),
        (lambda: Gaussian(0.5).radius(0.5, norm="linf"), "dimension=None must be given"),
        (lambda: Gaussian([1, 2]).radius(1, norm="l2", dimension=3), "dimension=3 must be 2"),
        (lambda: Gaussian(0.5).radius(1, norm="linf", dimension=0), "dimension=0 must be at least"),
        (lambda: Uniform(0.5).radius(1.2), "margin=1.2 must be at most 1"),
        (lambda: Gaussian(0.5).radius(math.nan), "margin"),
        (lambda: Gaussian(0.5).radius(math.inf), "margin=inf"),
        (lambda: Gaussian(0.0), "sigma=0"),
        (lambda: Gaussian([0.5, -1.0]), "sigma=-1"),
        (lambda: Gaussian([]), "sigma=\\(\\) must hold"),
        (lambda: Uniform(math.inf), "half_width=inf"),
        (lambda: Laplace(-1), "scale=-1"),
        (lambda: Ablation(9, 9), "keep=9 must be between 1 and 8"),
        (lambda: Deletion(1.0), "probability=1.0 must be in"),
        (lambda: Lp(0.5), "p=0.5 must be between 1"),
        (lambda: parse_norm("lp:x"), "must be one of 'l0'"),
        (lambda: parse_norm("L2"), "must be one of 'l0'"),
        (
            lambda: parse_noise("uniform"),
            "noise='uniform' must have its parameters as uniform:HALF_WIDTH",
        ),
        (lambda: parse_noise("uniform:1,2"), "parameters as uniform:HALF_WIDTH"),
        (lambda: parse_noise("ablation:4.5,9"), "keep=4.5"),
    ],
)
def test_a_wrong_pair_or_parameter_is_named(call: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_random_margins_are_never_rounded_up() -> None:
    """The closed forms in 60 digits, at random arguments of every size."""
    with mp.workdps(60):
        for _ in range(300):
            margin = float(10 ** RNG.uniform(-12, 0))
            scale, size = float(10 ** RNG.uniform(-6, 6)), int(10 ** RNG.uniform(0, 6))
            power = float(1 + 10 ** RNG.uniform(-2, 3))
            m, s, d, p = (mp.mpf(v) for v in (margin, scale, size, power))
            cases = [
                (Uniform(scale), "linf", -2 * s * mp.expm1(mp.log1p(-m / 2) / d)),
                (Laplace(scale), Lp(power), s / 2 * m * d ** (1 / p - 1)),
                (Gaussian(scale), "linf", s / 2 * m / mp.sqrt(d)),
                (
                    Gaussian(scale),
                    Lp(1 + power),
                    s / 2 * m * d ** min(0, 1 / (1 + p) - mp.mpf("0.5")),
                ),
            ]
            for noise, norm, exact in cases:
                assert just_below(noise.radius(margin, norm=norm, dimension=size), exact), norm


def test_noise_of_many_parameters_is_shown_short_and_written_whole() -> None:
    many = Gaussian([0.25 * (i + 1) for i in range(700)])
    assert many.brief == "gaussian:0.25,…,175 (700 numbers)"
    assert parse_noise(str(many)) == many
    assert Gaussian([0.25, 0.5]).brief == "gaussian:0.25,0.5"
    shown = str(certify_counts([900, 60, 40], noise=many, alpha=0.01, y=0))
    assert shown.endswith("alpha=0.01, gaussian:0.25,…,175 (700 numbers))")
