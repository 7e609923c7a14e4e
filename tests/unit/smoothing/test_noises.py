"""Inputs and data sets smoothed by every noise: certificates, tables, and what is refused."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import (  # noqa: E402
    SmoothedClassifier,
    analyze,
    certify_counts,
    certify_dataset,
    decide_counts,
    radius_interval_counts,
    read_table,
)
from rsverify.certificates.margins import level_of_bound  # noqa: E402
from rsverify.noise import (  # noqa: E402
    Ablation,
    Deletion,
    DiscreteGaussian,
    Gaussian,
    Laplace,
    Noise,
    Splitting,
    Uniform,
)
from rsverify.tables.metadata import read_metadata  # noqa: E402
from rsverify.tables.recertify import recertify  # noqa: E402

N, SEED = 400, 5
CLASSES = 3


def thirds(batch: torch.Tensor) -> torch.Tensor:
    """Which of three parts of the input is brightest."""
    return torch.stack([part.mean(dim=1) for part in batch.flatten(1).split(4, dim=1)], dim=1)


EMBEDDED = torch.eye(4)[:, 1:] + 0.1 * torch.arange(12.0).reshape(4, 3) / 12


def words(batch: torch.Tensor) -> torch.Tensor:
    """Which word is most frequent, of 1, 2 and 3; 0 fills up."""
    return (EMBEDDED[batch] * (batch != 0)[..., None]).sum(dim=1)


IMAGES = torch.round(torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(2)) * 32) / 64
TEXTS = torch.randint(1, 4, (5, 12), generator=torch.Generator().manual_seed(3))
for i in range(4):  # clear ones, and one that is not
    IMAGES[i, i % 3] += 0.5
    TEXTS[i, :10] = 1 + i % 3

NOISES: list[tuple[Noise, dict[str, object], str | None]] = [
    (Gaussian(0.3), {}, "linf"),
    (Gaussian(0.3), {"lattice": 1 / 64}, "l1"),
    (DiscreteGaussian(0.3, 1 / 64), {}, "lp:3"),
    (Gaussian([0.1 + 0.02 * i for i in range(12)]), {}, "mahalanobis"),
    (Uniform(0.4), {}, None),
    (Uniform(0.4), {}, "linf"),
    (Splitting(0.6), {}, None),
    (Laplace(0.2), {}, None),
    (Laplace(0.2), {"lattice": 1 / 64}, "lp:3"),
    (Ablation(2, 12), {"mask": 0.5}, None),
    (Ablation(1, 4), {"mask": [0.1, 0.2, 0.3], "channel_axis": 0}, "l0"),
]
OF_TEXTS: list[tuple[Noise, dict[str, object], str | None]] = [
    (Ablation(3, 12), {"mask": 0}, None),
    (Deletion(0.7), {"mask": 0}, "edit"),
]
CASES = [(thirds, IMAGES, *case) for case in NOISES] + [(words, TEXTS, *case) for case in OF_TEXTS]
each = pytest.mark.parametrize(("model", "inputs", "noise", "options", "norm"), CASES)


@each
def test_a_row_is_the_certificate_of_its_input(tmp_path, model, inputs, noise, options, norm):
    smoothed = SmoothedClassifier(model, CLASSES, noise=noise, **options)
    labels = torch.zeros(len(inputs), dtype=torch.int64)
    asked = {"n": N, "n0": 50, "alpha": 0.01, "seed": SEED, "norm": norm, "record_time": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = certify_dataset(
            smoothed, (inputs, labels), tmp_path / "t.tsv", progress=False, **asked
        )
        certify_dataset(
            smoothed, (inputs, labels), tmp_path / "u.tsv", progress=False, batch_size=37, **asked
        )
    assert (tmp_path / "t.tsv").read_bytes() == (tmp_path / "u.tsv").read_bytes()
    certified = 0
    for i, x in enumerate(inputs):
        found = smoothed.certify(x, n=N, n0=50, alpha=0.01, seed=(SEED, i), norm=norm)
        row = table.iloc[i]
        counts = tuple(row[[f"count_{k}" for k in range(CLASSES)]].astype(int))
        assert found.counts == counts
        assert row["predict"] == found.prediction
        assert found.radius - 1e-6 <= row["radius"] <= found.radius
        # The same from the votes alone, at what the noise's own error leaves of alpha.
        distribution = smoothed.noise.distribution
        again = certify_counts(
            found.counts,
            selection=found.selection_counts,
            noise=distribution,
            norm=norm,
            dimension=x.numel() if distribution.needs_dimension(found.norm) else None,
            alpha=float(level_of_bound(0.01, found.noise_excess)),
        )
        assert again.radius == found.radius
        assert found.norm == distribution.check_norm(norm)
        certified += found.radius > 0
    assert certified
    kept = read_metadata(tmp_path / "t.tsv")["configuration"]
    assert kept["noise"] == str(distribution)
    assert kept["norm"] == str(distribution.check_norm(norm))
    assert kept["dimension"] == inputs[0].numel()
    assert recertify(read_table(tmp_path / "t.tsv"))["radius"].tolist() == pytest.approx(
        table["radius"].tolist(), abs=1.1e-6
    )
    assert analyze(table, radii=[0.0]).inputs == 5


@each
def test_a_table_is_continued_with_its_noise_and_norm_alone(
    tmp_path, model, inputs, noise, options, norm
):
    out, labels = tmp_path / "t.tsv", torch.zeros(len(inputs), dtype=torch.int64)
    asked = {"n": N, "n0": 50, "seed": SEED, "norm": norm, "record_time": False, "progress": False}
    smoothed = SmoothedClassifier(model, CLASSES, noise=noise, **options)
    certify_dataset(smoothed, (inputs, labels), out, max_inputs=2, **asked)
    certify_dataset(smoothed, (inputs, labels), out, **asked)
    whole = tmp_path / "whole.tsv"
    certify_dataset(smoothed, (inputs, labels), whole, **asked)
    assert out.read_bytes() == whole.read_bytes()
    other = SmoothedClassifier(model, CLASSES, noise=_other(noise), **options)
    with pytest.raises(ValueError, match=r"(noise|sigma)=.* must be .* to resume"):
        certify_dataset(other, (inputs, labels), out, **asked)


def _other(noise: Noise) -> Noise:
    """Return noise of the same kind and other parameters."""
    if isinstance(noise, Gaussian) and isinstance(noise.sigma, tuple):
        return Gaussian([2 * s for s in noise.sigma])
    if isinstance(noise, Ablation):
        return Ablation(noise.keep + 1, noise.of)
    if isinstance(noise, DiscreteGaussian):
        return DiscreteGaussian(2 * noise.sigma, noise.lattice)
    return type(noise)(1.1 * noise.parameters[0])


def test_another_norm_or_mask_is_another_table(tmp_path):
    data, asked = (
        (IMAGES, torch.zeros(5, dtype=torch.int64)),
        {"n": N, "seed": 0, "progress": False},
    )
    out = tmp_path / "t.tsv"
    certify_dataset(SmoothedClassifier(thirds, 3, noise=Uniform(0.4)), data, out, **asked)
    with pytest.raises(ValueError, match="norm='linf' must be 'l1' to resume"):
        certify_dataset(
            SmoothedClassifier(thirds, 3, noise=Uniform(0.4)), data, out, norm="linf", **asked
        )
    hidden = tmp_path / "h.tsv"
    certify_dataset(
        SmoothedClassifier(thirds, 3, noise=Ablation(6, 12), mask=0), data, hidden, **asked
    )
    with pytest.raises(ValueError, match=r"mask='0\.5' must be '0' to resume"):
        certify_dataset(
            SmoothedClassifier(thirds, 3, noise=Ablation(6, 12), mask=0.5), data, hidden, **asked
        )


@pytest.mark.parametrize(
    ("noise", "options", "norm", "listed"),
    [
        (Uniform(0.4), {}, "l0", "'l1', 'l2', 'linf', Lp(p) for uniform noise; Ablation has one"),
        (Uniform(0.4), {}, "edit", "Deletion has one"),
        (Splitting(0.4), {}, "linf", "'l1' for splitting noise"),
        (Ablation(6, 12), {"mask": 0}, "l2", "'l0' for ablation noise"),
        (Gaussian(0.3), {}, "l0", "'l2', 'l1', 'linf', 'mahalanobis', Lp(p) for gaussian noise"),
    ],
)
def test_wrong_pairs_are_refused_before_sampling(tmp_path, noise, options, norm, listed):
    asked = []
    smoothed = SmoothedClassifier(lambda b: asked.append(b) or thirds(b), 3, noise=noise, **options)
    for call in (
        lambda: smoothed.certify(IMAGES[0], norm=norm),
        lambda: certify_dataset(smoothed, IMAGES, tmp_path / "t.tsv", norm=norm),
    ):
        with pytest.raises(ValueError, match="must be one of") as caught:
            call()
        assert listed in str(caught.value)
    assert not asked
    assert not (tmp_path / "t.tsv").exists()


def test_bounds_of_scores_and_r1_need_gaussian_noise():
    smoothed = SmoothedClassifier(thirds, 3, noise=Uniform(0.4))
    with pytest.raises(ValueError, match="must be Gaussian noise of one sigma"):
        smoothed.certify(IMAGES[0], bound="betting")
    with pytest.raises(ValueError, match="radius='R1' must be 'R2' for noise=uniform"):
        smoothed.certify(IMAGES[0], radius="R1")
    plain = SmoothedClassifier(thirds, 3, 0.3)
    with pytest.raises(ValueError, match="must be Gaussian noise of one sigma and 'l2'"):
        plain.certify(IMAGES[0], bound="betting", norm="linf")
    assert plain.certify(IMAGES[0], n=N, seed=0, radius="R1", norm="l1").norm == "l1"


def test_sigma_and_a_noise_are_one_or_the_other():
    with pytest.raises(ValueError, match="sigma=None must be given"):
        SmoothedClassifier(thirds, 3)
    with pytest.raises(ValueError, match=r"sigma=0\.5 must be left out with noise=uniform:0.4"):
        SmoothedClassifier(thirds, 3, 0.5, noise=Uniform(0.4))
    short = SmoothedClassifier(thirds, 3, 0.3).certify(IMAGES[0], n=N, seed=1)
    assert (
        SmoothedClassifier(thirds, 3, noise=Gaussian(0.3)).certify(IMAGES[0], n=N, seed=1) == short
    )
    lattice = SmoothedClassifier(thirds, 3, 0.3, noise="discrete", lattice=1 / 64)
    exact = lattice.certify(IMAGES[0], n=N, seed=1)
    for same in (
        SmoothedClassifier(thirds, 3, noise=Gaussian(0.3), lattice=1 / 64),
        SmoothedClassifier(thirds, 3, noise=DiscreteGaussian(0.3, 1 / 64)),
    ):
        assert same.certify(IMAGES[0], n=N, seed=1) == exact
    assert repr(SmoothedClassifier(thirds, 3, noise=Uniform(0.4))) == (
        "SmoothedClassifier(thirds, num_classes=3, noise=uniform:0.4)"
    )
    assert np.isnan(SmoothedClassifier(thirds, 3, noise=Uniform(0.4)).sigma)


# Token numbers


def test_integers_are_inputs_where_entries_are_hidden_alone():
    with pytest.raises(TypeError, match="must be floating"):
        SmoothedClassifier(words, 3, noise=Uniform(0.5)).certify(TEXTS[0])
    hidden = SmoothedClassifier(words, 3, noise=Ablation(6, 12), mask=0)
    asked = {"n": N, "seed": 0}
    expected = hidden.certify(TEXTS[0], **asked)
    for same in (TEXTS[0].numpy(), TEXTS[0].int(), TEXTS[0].numpy().astype(np.uint8)):
        assert hidden.certify(same, **asked).counts == expected.counts


def test_items_with_token_numbers_are_read(tmp_path):
    items = [{"input_ids": row.tolist(), "label": 1} for row in TEXTS]
    dropped = SmoothedClassifier(words, 3, noise=Deletion(0.4), mask=0)
    table = certify_dataset(dropped, items, tmp_path / "t.tsv", n=N, seed=0, progress=False)
    assert set(table["label"]) == {1}
    with pytest.raises(ValueError, match="x must name the entry"):
        certify_dataset(SmoothedClassifier(words, 3, 0.5), items, tmp_path / "u.tsv")


def test_a_model_that_sees_how_much_was_dropped_is_refused():
    def mean(batch):  # what fills up counts in the mean's denominator
        return EMBEDDED[batch].mean(dim=1)

    def length(batch):
        return torch.stack([(batch == 0).sum(1).float() * s for s in (1.0, -1.0, 0.0)], dim=1)

    for model in (mean, length):
        with pytest.raises(ValueError, match=r"must not see|other scores where more tokens"):
            SmoothedClassifier(model, 3, noise=Deletion(0.4), mask=0).certify(TEXTS[0], n=N)
    # Filled up to one length, it sees that of what is left alone.
    padded = SmoothedClassifier(
        mean,
        3,
        noise=Deletion(0.4),
        mask=0,
        preprocess=lambda batch: torch.nn.functional.pad(batch, (0, 40))[:, :40],
    )
    assert padded.certify(TEXTS[0], n=N, seed=0).probed.endswith("also in longer rows")
    # A model of rows of one length speaks of those.
    dense = torch.nn.Sequential(
        torch.nn.Embedding(4, 2), torch.nn.Flatten(), torch.nn.Linear(24, 3)
    )
    fixed = SmoothedClassifier(dense, 3, noise=Deletion(0.4), mask=0)
    assert "longer rows are not taken" in fixed.certify(TEXTS[0], n=N, seed=0).probed


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "int16", "int64"])
@pytest.mark.parametrize("noise", [Ablation(4, 12), Deletion(0.4)], ids=str)
def test_tokens_of_every_type_are_taken(kind, noise, tmp_path):
    smoothed, tokens = SmoothedClassifier(words, 3, noise=noise, mask=0), TEXTS.numpy().astype(kind)
    expected = smoothed.certify(TEXTS[0], n=N, n0=20, seed=(0, 0))
    assert smoothed.certify(tokens[0], n=N, n0=20, seed=(0, 0)) == expected
    table = certify_dataset(
        smoothed,
        tokens[:2],
        tmp_path / "t.tsv",
        n=N,
        n0=20,
        seed=0,
        input_range=(0, 4),
        progress=False,
    )
    assert table["radius"].tolist()[0] == expected.radius


@pytest.mark.parametrize("first", [0, 4, 8])
def test_a_callable_that_leaves_gaps_is_refused_where_the_model_counts_places(first):
    """1, 2, 1, 2, … is always class 1, and with a word before it, mostly class 0."""

    def parity(batch):
        part = batch[:, first : first + 4]
        wrong = ((part > 0) & (part % 2 != (torch.arange(4) + 1) % 2)).any(dim=1).float()
        return torch.stack([wrong, 1 - wrong], dim=1)

    text = torch.tensor([1, 2] * 6)
    gaps = SmoothedClassifier(parity, 2, noise=Deletion(0.6), mask=lambda batch: batch.clamp(min=0))
    with pytest.raises(ValueError, match="where other tokens were dropped"):
        gaps.certify(text, n=N, seed=0)


def test_gaps_are_seen_of_a_model_of_one_length_too():
    dense = torch.nn.Sequential(
        torch.nn.Embedding(4, 2), torch.nn.Flatten(), torch.nn.Linear(24, 3)
    )
    gaps = SmoothedClassifier(dense, 3, noise=Deletion(0.4), mask=lambda batch: batch.clamp(min=0))
    with pytest.raises(ValueError, match="where other tokens were dropped"):
        gaps.certify(TEXTS[0], n=N)

    def shortened(batch):
        rows = [[t for t in row if t >= 0] for row in batch.tolist()]
        return torch.tensor([row + [0] * (12 - len(row)) for row in rows])

    whole = SmoothedClassifier(dense, 3, noise=Deletion(0.4), mask=shortened)
    assert "longer rows" in whole.certify(TEXTS[0], n=N, seed=0).probed


def test_a_callable_that_sees_the_number_dropped_is_refused():
    def share(batch):
        kept = (batch >= 0).float().mean(dim=1)
        return torch.stack([kept, 1 - kept], dim=1)

    seen = SmoothedClassifier(share, 2, noise=Deletion(0.4), mask=lambda batch: batch)
    with pytest.raises(ValueError, match="where more tokens were dropped"):
        seen.certify(TEXTS[0], n=N)


def test_a_callable_makes_anything_of_what_is_left():
    """Texts, say: the model takes lists of strings."""

    def spell(batch):
        return ["".join("_abc"[t] for t in row if t >= 0) for row in batch.tolist()]

    def count(texts):
        return torch.tensor([[text.count(letter) for letter in "abc"] for text in texts]).float()

    asked = {"n": N, "seed": 0}
    spelled = SmoothedClassifier(count, 3, noise=Deletion(0.4), mask=spell).certify(
        TEXTS[0], **asked
    )
    one_hot = torch.eye(4)[:, 1:]
    plain = SmoothedClassifier(
        lambda b: one_hot[b].sum(dim=1), 3, noise=Deletion(0.4), mask=0
    ).certify(TEXTS[0], **asked)
    assert spelled.counts == plain.counts
    assert "also in longer rows" in spelled.probed


def test_a_hub_model_of_token_numbers_is_taken_where_tokens_are_hidden():
    class Net(torch.nn.Module):
        main_input_name = "input_ids"

        def forward(self, batch):
            return words(batch)

    with pytest.raises(TypeError, match="or ablation or deletion noise"):
        SmoothedClassifier(Net(), 3, 0.5)
    assert SmoothedClassifier(Net(), 3, noise=Deletion(0.4), mask=0).certify(TEXTS[0], n=N).n == N


def test_the_json_has_what_decides_the_draws(tmp_path):
    hidden = SmoothedClassifier(thirds, 3, noise=Ablation(2, 4), mask=0.5, channel_axis=0)
    certify_dataset(hidden, IMAGES, tmp_path / "t.tsv", n=N, seed=0, progress=False)
    kept = json.loads((tmp_path / "t.json").read_text())["configuration"]
    assert (kept["mask"], kept["channel_axis"]) == ("0.5", 0)
    assert (kept["noise"], kept["norm"], kept["sigma"]) == ("ablation:2,4", "l0", None)


@each
def test_sampling_stops_early_under_every_noise(tmp_path, model, inputs, noise, options, norm):
    smoothed = SmoothedClassifier(model, CLASSES, noise=noise, **options)
    common = {"n": 3000, "n0": 50, "alpha": 0.01, "seed": (SEED, 0), "norm": norm}
    ends = smoothed.certify(inputs[0], precision=1e-9, **common)
    assert ends.n == 3000 or ends.precise
    distribution = smoothed.noise.distribution
    assert (0.0 if distribution.integer else 1e-9) <= ends.radius <= ends.radius_upper
    target = max(1.0, ends.radius) if distribution.integer else 0.7 * ends.radius
    found = smoothed.certify(inputs[0], target_radius=target, **common)
    assert found.decision == "radius >= target" or distribution.integer
    assert distribution.integer or found.n <= ends.n  # whole numbers may soon be known
    asked = {
        "selection": found.selection_counts,
        "noise": distribution,
        "norm": norm,
        "dimension": (inputs[0].numel() if distribution.needs_dimension(found.norm) else None),
        "alpha": float(level_of_bound(0.01, found.noise_excess)),
    }
    again = decide_counts(found.counts, target_radius=target, horizon=3000, futility=0.1, **asked)
    assert (again.decision, again.radius) == (found.decision, found.radius)
    both = radius_interval_counts(ends.counts, **{**asked, "selection": ends.selection_counts})
    assert (both.radius, both.radius_upper) == (ends.radius, ends.radius_upper)
    data = (inputs, torch.zeros(len(inputs), dtype=torch.int64))
    table = certify_dataset(
        smoothed,
        data,
        tmp_path / "t.tsv",
        progress=False,
        **{**common, "seed": SEED},
        target_radius=[target, 3 * target + 3],
    )
    _, last = (c for c in table.columns if c.startswith("decision_"))
    assert (table[last] != "radius >= target").all()
    assert (table["n"] <= 3000).all()
