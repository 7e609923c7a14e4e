"""The command ``rsverify demo``: the whole way on real images, and what to do next."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsverify._core.files import Interrupted
from rsverify._core.optional import need
from rsverify._core.progress import InputProgress
from rsverify.cli.console import FormatOption, print_json, print_lines, print_table, starting

if TYPE_CHECKING:
    from rsverify.demo.run import DemoResult

# Names of bounds that are too long for a column.
_COLUMNS = {
    "softmax scores, separate bounds": "separate scores",
    "softmax scores, betting bound": "betting scores",
}


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the tables and the figure.")
    ] = Path("demo"),
    images: Annotated[int, typer.Option(help="Held-out images to certify, 1 to 500.")] = 120,
    n: Annotated[int, typer.Option(help="Votes per image.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Fixes training and noise.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the files of an earlier demo.")
    ] = False,
    format: FormatOption = "text",
) -> None:
    """Train a small network on real digits; certify held-out images with every available bound."""
    from rsverify.demo.outputs import check_outputs

    need("torch", "sklearn", extra="demo")
    check_outputs(out, images=images, n=n, force=force)
    with starting("demo: loading torch; then a network is trained and images are certified"):
        import sklearn.datasets  # noqa: F401
        import torch  # noqa: F401

        from rsverify.demo.run import run_demo
    with _hint(out), ExitStack() as bars:  # closed where the demo is given up, too

        def track(items: Iterable[object], title: str) -> Iterator[object]:
            return bars.enter_context(closing(_progress(items, title)))

        result = run_demo(out, images=images, n=n, seed=seed, force=force, track=track)
    if format == "json":
        print_json(_content(result, n))
    else:
        _print(result, n)


@contextmanager
def _hint(out: Path) -> Iterator[None]:
    """Say what an interrupted demo leaves."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted: no file of {out} is half-written, and what was compiled is kept; run "
            "rsverify demo --force again, or with fewer --images"
        ) from None


def _progress(items: Iterable[object], title: str) -> Generator[object, None, None]:
    todo = list(items)
    with InputProgress(title, len(todo), unit="steps") as bar:
        for item in todo:
            yield item
            bar.advance(1)


def _print(result: DemoResult, n: int) -> None:
    from rsverify.demo.rows import PLANNED
    from rsverify.demo.run import early_summary, explanation, summary

    images = len(result.tables["exact"])
    found = summary({**result.tables, **result.soft_tables}).T
    *accuracies, average = found.iterrows()
    rows = [[str(r), *(f"{a:.3f}" for a in row)] for r, row in accuracies]
    rows.append([str(average[0]), *(f"{a:.4f}" for a in average[1])])
    names = [_COLUMNS.get(str(name), str(name)) for name in found.columns]
    print_table(
        f"Fraction of {images} held-out images certified correct within a radius",
        ["radius", *names],
        rows,
    )
    answers = early_summary(result.early, n).iterrows()
    print_table(
        f"Is the radius at least r? Samples until a decision, {images} images",
        ["r", "yes", "no", "undecided", "votes", f"of {PLANNED * n:,}"],
        [
            [f"{r:g}", f"{yes:g}", f"{no:g}", f"{open_:g}", f"{votes:,.0f}", f"{share:.1%}"]
            for r, (yes, no, open_, votes, share) in answers
        ],
    )
    print_lines(explanation(result))


def _content(result: DemoResult, n: int) -> dict[str, object]:
    from rsverify.demo.run import early_summary, summary

    found = summary({**result.tables, **result.soft_tables})
    answers = early_summary(result.early, n)
    return {
        "certified_accuracy": {str(name): row.to_dict() for name, row in found.iterrows()},
        "early_stopping": {f"{r:g}": row.to_dict() for r, row in answers.iterrows()},
        "accuracy_without_noise": result.clean_accuracy,
        "written": [str(p) for p in (result.table_path, result.early_path, result.picture_path)],
    }
