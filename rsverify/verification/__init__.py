"""An independent checker of certificates, in ball arithmetic.

It shares no code with what computes the bounds: it imports nothing of this package but
`rsverify._core`, which the contracts of pyproject.toml enforce. Read it in this order: `tails`
(probabilities), `supremum` (the proof), `ordering` (the set of outcomes), `claims` (what a row
says), `checker` (the verdict), `table`.
"""

from rsverify._core.optional import need

need("flint")
