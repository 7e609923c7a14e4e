"""Plans as the command line prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsverify._core.text import number_text
from rsverify.cli.console import Format, print_json, print_note, print_table

if TYPE_CHECKING:
    from rsverify.tables.plan import Plan


def print_plan(plan: Plan, format: Format) -> None:
    """Print a plan as tables, or as JSON."""
    from rsverify.tables.plan_view import cost_rows, expected_rows, needed_rows, notes

    if format == "json":
        print_json(plan.to_dict())
        return
    print_table(f"Forward passes of {_inputs(plan)}", *cost_rows(plan))
    wanted = number_text(plan.probability)
    print_table(f"Votes per input that certify with probability {wanted}", *needed_rows(plan))
    for radius in plan.target_radii:
        title = f"Expected to be certified within {number_text(radius)}"
        print_table(title, *expected_rows(plan, radius))
    for note in notes(plan):
        print_note(note)


def _inputs(plan: Plan) -> str:
    return "1 input" if plan.inputs == 1 else f"{plan.inputs:,} inputs"
