"""The figures of the pages for authors of bounds: a comparison, power, and a bound in awk.

Run as ``python -m coverage_studies.pages_for_authors``; writes docs/figures/comparing-bounds.png,
power.png and other-languages.png. Half a minute. Needs awk.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np

import rsverify
from rsverify.auditing.verdict import detectable

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
BOUNDS = {
    "Hoeffding": "hoeffding_lower",
    "Bentkus": "bentkus_lower",
    "empirical Bernstein": "empirical_bernstein_lower",
    "plugin Bernstein": "plugin_bernstein_lower",
    "betting": "betting_lower",
    "normal approximation": lambda x, _alpha: (
        x.mean(axis=1) - 1.6449 * x.std(axis=1, ddof=1) / np.sqrt(x.shape[1])
    ),
}
WILSON = """
BEGIN { FS = ","; z = 1.6448536 }
{ n = $1 + $2; p = $1 / n; s = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  printf "%.17g\\n", (p + z * z / (2 * n) - s) / (1 + z * z / n) }
"""


def power() -> None:
    """Draw what an audit of a mean finds, by replications."""
    from rsverify._core.figure import finish_figure, new_figure

    figure = new_figure(6.5, 3.6)
    axes = figure.add_subplot()
    runs = np.unique(np.geomspace(500, 500_000, 40).astype(int))
    for alpha, color, style in ((0.1, "#0072B2", "-"), (0.05, "#D55E00", "--"),
                                (0.01, "#009E73", ":")):  # fmt: skip
        found = [100 * (detectable(int(n), alpha, 0.02, 1e-3, 24) - alpha) / alpha for n in runs]
        axes.plot(runs, found, style, color=color, label=f"α = {alpha:g}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.set_xlabel("replications per scenario")
    axes.set_ylabel("excess found, in percent of α")
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.legend(frameon=False)
    axes.set_title(
        "Four times the replications find about half the excess\n(24 scenarios, probability 95 %)",
        fontsize="medium",
    )
    finish_figure(figure, FIGURES / "power.png", force=True)


def main() -> None:
    """Draw the figures."""
    found = rsverify.compare_bounds(BOUNDS, "mean", 100, 0.05, timing=False)
    print(found)
    found.plot(FIGURES / "comparing-bounds.png", force=True)
    power()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("wilson.awk").write_text(WILSON)
        command = ["awk", "-f", "wilson.awk", "alpha={alpha}"]
        report = rsverify.audit_command(command, estimand="proportion", n=100, alpha=0.05)
    report.plot(FIGURES / "other-languages.png", force=True)


if __name__ == "__main__":
    main()
