"""A catalog of known-invalid bounds. The auditor must refuse each, by the default budget, in seconds.

Each mutant is a bound as someone wrote it, with the mistake named, and the audit that shows
it. `EXHIBITS` truly undercover. `UNSEEN` have the same kind of mistake but are loose enough to
cover, or nearly so: the audit does not refuse them, and what it says is recorded. What each
truly fails to cover and what it costs to see it is in ``coverage_studies/results/known_invalid.tsv``.
"""

from . import capitals, margins, means, proportions
from .capitals import FAIR_CAPITAL, LOOSE, bound_of, fair_bets
from .mutant import Mutant

ROOMS = (proportions, margins, means, capitals)
EXHIBITS = [mutant for room in ROOMS for mutant in room.EXHIBITS]
UNSEEN = [mutant for room in ROOMS for mutant in room.UNSEEN]

__all__ = [
    "EXHIBITS",
    "FAIR_CAPITAL",
    "LOOSE",
    "ROOMS",
    "UNSEEN",
    "Mutant",
    "bound_of",
    "fair_bets",
]
