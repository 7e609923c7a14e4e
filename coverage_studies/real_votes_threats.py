"""What real votes certify under every threat: exact bound, Bonferroni and p_y alone.

The votes are the published counts of 120 CIFAR-10 images (100,000 each, Gaussian noise of .25),
where ``../shared/data`` lies beside the checkout. Each noise is given the same votes, as if they
had been cast under it: what is compared is what one table of votes gives by each bound, not the
noises.

Of each image 100 votes, drawn without replacement, are the selection sample, which chooses the
class; the others, or 1,000 of them, are the estimation sample. So both samples are what they would
be in a run of that size.
Run as ``python -m coverage_studies.real_votes_threats``; writes results/real_votes_threats.json and
docs/figures/real-votes-threats.png. A minute on one core.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import rsverify
from rsverify import certify_table, exact_margin_lower
from rsverify.noise import Ablation, Deletion, Gaussian, Laplace, Splitting, Uniform

ALPHA, N0, SEED = 0.001, 100, 0
SIZES = (1000, 99_900)
BOUNDS = {"exact": "exact", "bonferroni": "Bonferroni", "cohen": "p_y alone"}
DIMENSION = 3072  # numbers of an image of 3 x 32 x 32
ROOT = Path(__file__).parents[1]
COUNTS = ROOT.parent / "shared" / "data" / "cifar10_counts_sigma025.txt"
RESULTS = Path(__file__).parent / "results"
FIGURE = ROOT / "docs" / "figures" / "real-votes-threats.png"
THREATS: dict[str, dict[str, Any]] = {
    "Gaussian .25, l2": {"noise": Gaussian(0.25)},
    "Gaussian .25, linf": {"noise": Gaussian(0.25), "norm": "linf", "dimension": DIMENSION},
    "uniform 1, l1": {"noise": Uniform(1.0)},
    "uniform 1, linf": {"noise": Uniform(1.0), "norm": "linf", "dimension": DIMENSION},
    "splitting 1, l1": {"noise": Splitting(1.0)},
    "Laplace 1, l1": {"noise": Laplace(1.0)},
    "ablation 75 of 1,024, l0": {"noise": Ablation(75, 1024)},
    "deletion .97, edit": {"noise": Deletion(0.97)},
}
CLASSES: dict[str, dict[str, Any]] = {
    "Gaussian .25, l2, top 3": {"noise": Gaussian(0.25), "top_k": 3},
    "uniform 1, l1, top 3": {"noise": Uniform(1.0), "top_k": 3},
}


def samples(counts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return selection and estimation votes of each image."""
    selected, votes = [], []
    for i, row in enumerate(counts):
        rng = np.random.default_rng([SEED, i])
        chosen = rng.multivariate_hypergeometric(row, N0)
        rest = row - chosen
        selected.append(chosen)
        votes.append(rest if rest.sum() == size else rng.multivariate_hypergeometric(rest, size))
    return np.array(selected), np.array(votes)


def difference_rule(selected: np.ndarray, votes: np.ndarray) -> dict[str, float]:
    """Return what Laplace noise certifies by -log(1 - p_y + p_j), of the exact difference."""
    y = selected.argmax(axis=1)
    first = votes[np.arange(len(votes)), y]
    others = votes.copy()
    others[np.arange(len(votes)), y] = -1
    limit = exact_margin_lower(
        first, others.max(axis=1), votes.sum(axis=1), ALPHA, estimand="difference"
    )
    radius = np.where(limit > 0, -np.log1p(-np.maximum(limit, 0.0)), 0.0)
    return {"certified": int((radius > 0).sum()), "mean radius": float(f"{radius.mean():.6g}")}


def compared(counts: np.ndarray, size: int) -> dict[str, Any]:
    """Return certified inputs and mean radius of each threat and bound, abstentions as 0."""
    selected, votes = samples(counts, size)
    rows: dict[str, Any] = {}
    for name, options in (THREATS | CLASSES).items():
        rows[name] = {}
        for bound, called in BOUNDS.items():
            table = certify_table(votes, selection=selected, alpha=ALPHA, bound=bound, **options)
            radius = table["radius"].to_numpy()
            rows[name][called] = {
                "certified": int((radius > 0).sum()),
                "mean radius": float(f"{radius.mean():.6g}"),
            }
    rows["Laplace 1, l1"]["exact, by p_y - p_j"] = difference_rule(selected, votes)
    return rows


def draw(found: dict[str, Any]) -> None:
    """Draw the mean radius of each bound as a share of the exact one's, with certified inputs."""
    from matplotlib.figure import Figure

    names = [*THREATS, *CLASSES]
    figure = Figure(figsize=(9.0, 5.0), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    place = np.arange(len(names))[::-1]
    marks = {"exact": ("o", "#1b6ca8"), "Bonferroni": ("s", "#d08c2e"), "p_y alone": ("x", "#555")}
    for ax, (size, rows) in zip(axes, found.items(), strict=True):
        for k, (called, (mark, color)) in enumerate(marks.items()):
            at = place + 0.27 * (1 - k)
            share = [
                rows[n][called]["mean radius"] / rows[n]["exact"]["mean radius"] for n in names
            ]
            ax.plot(share, at, mark, color=color, label=called, markersize=5)
            for n, s, y in zip(names, share, at, strict=True):
                count = f"{rows[n][called]['certified']} certified"
                ax.text(s - 0.01, y, count, va="center", ha="right", size=6, color=color)
        ax.set_title(f"n = {int(size):,}", fontsize=10)
        ax.set_xlim(0.71, 1.01)
        ax.set_xlabel("mean radius, as a share of the exact bound's")
        ax.set_yticks(place, names)
        ax.grid(axis="x", alpha=0.3)
        for y in place[:-1] - 0.5:
            ax.axhline(y, color="#ddd", linewidth=0.6)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(FIGURE, dpi=120, metadata={"Software": None})


def main() -> None:
    """Compare, write the result and draw it."""
    counts = np.loadtxt(COUNTS, dtype=np.int64)[:, :-1]
    found = {str(size): compared(counts, size) for size in SIZES}
    for rows in found.values():
        for row in rows.values():
            assert all(math.isfinite(cell["mean radius"]) for cell in row.values())
    content = {
        "study": "python -m coverage_studies.real_votes_threats",
        "version": rsverify.__version__,
        "inputs": len(counts),
        "alpha": ALPHA,
        "n0": N0,
        "seed": SEED,
        "n": found,
    }
    (RESULTS / "real_votes_threats.json").write_text(json.dumps(content, indent=1) + "\n")
    draw(found)


if __name__ == "__main__":
    main()
