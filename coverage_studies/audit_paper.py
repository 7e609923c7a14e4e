"""Which formulas of the paper, as printed, keep their promise: each audited, with a witness.

    python -m coverage_studies.audit_paper

The same as ``rsverify audit-paper --out coverage_studies/results/audit_paper.json``.
"""

from __future__ import annotations

from pathlib import Path

from rsverify.cli.app import main

if __name__ == "__main__":
    out = Path(__file__).parent / "results" / "audit_paper.json"
    main(["audit-paper", "--out", str(out)])
