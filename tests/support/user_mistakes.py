"""Calls that a type checker must refuse, one a line; see `user_code.py`. Nothing is executed."""

import rsverify

rsverify.exact_margin_lower(6, 5, 20, 0.05, estimand="typo")
rsverify.exact_margin_lower(6, 5, 20, 0.05, estimand="probit", orderings="difference")
rsverify.exact_margin_lower(6, 5, 20, 0.05, estimand="probit", ordering="likelihood")
rsverify.cohen_margin_lower(6, 20, 0.05)
rsverify.clopper_pearson_lower(6, 20, alfa=0.05)
rsverify.certify_counts([6, 5], sigma=0.25, alpha=0.05, y=0, bound="exakt")
rsverify.certify_counts([6, 5], sigma=0.25, alpha=0.05, y=0, radius="R3")
rsverify.betting_lower([0.5], 0.05, strategy="stars")
rsverify.clopper_pearson(6, 20, 0.05)
number: int = rsverify.clopper_pearson_lower(6, 20, 0.05)
