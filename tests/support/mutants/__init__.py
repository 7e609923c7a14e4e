"""A catalog of known-invalid bounds: the auditor refutes each by the default budget, in seconds.

Each mutant is a bound as someone wrote it, with the mistake named, and the audit that shows
it. `REFUTED` truly undercover. `UNSEEN` have the same kind of mistake but are loose enough to
cover, or nearly so: the audit does not refuse them, and what it says is recorded. The
true non-coverage of each, and what it costs to see it, are in
``coverage_studies/results/known_invalid.tsv``.
"""

from . import capitals, margins, means, proportions
from .capitals import FAIR_CAPITAL, LOOSE, bound_of, fair_bets
from .mutant import Mutant

FAMILIES = (proportions, margins, means, capitals)
REFUTED = [mutant for family in FAMILIES for mutant in family.REFUTED]
UNSEEN = [mutant for family in FAMILIES for mutant in family.UNSEEN]

__all__ = [
    "FAIR_CAPITAL",
    "FAMILIES",
    "LOOSE",
    "REFUTED",
    "UNSEEN",
    "Mutant",
    "bound_of",
    "fair_bets",
]
