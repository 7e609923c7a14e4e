"""Calls that a type checker must refuse, one a line; see `user_code.py`. Nothing is executed."""

from pandas import DataFrame
from torch import Tensor

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
rsverify.certify_scores([[0.5, 0.5]], sigma=0.25, alpha=0.05, y=0, bound="exact")
rsverify.score_margin_lower([[0.5, 0.5]], 0, 0.05, estimand="probit", mean_bound="beting")
rsverify.SmoothedClassifier(lambda x: x, 2, 0.5, noise="laplacian")
rsverify.Bound("mine", rsverify.clopper_pearson_lower, "proportions", data="counts")
rsverify.Bound("mine", rsverify.clopper_pearson_lower, "proportion", data="votess")
rsverify.audit("hoeffding_lower", estimand="average", n=10, alpha=0.05)
rsverify.audit("hoeffding_lower", n=10, alpha=0.05, side="below")
rsverify.audit("hoeffding_lower", n=10, alpha=0.05, method="simulate")
rsverify.audit("hoeffding_lower", n=10, alpha=0.05, false_alarms=0.01)
rsverify.audit("hoeffding_lower", n=10, alpha=0.05).plot("a.svg", kind="sawteeth")
rsverify.audit_test(len, n=10)
rsverify.audit_e_value(len, null=0.5, n=10, inputs="e-value")
rsverify.audit_prediction_set(len, n=10, alpha=0.1, claim="conditional")
rsverify.audit_multiple_testing(len, controls="FWR", n=10, alpha=0.1)
verdict: int = rsverify.audit("hoeffding_lower", n=10, alpha=0.05).verdict


def of_a_model(model: rsverify.SmoothedClassifier, x: Tensor, table: DataFrame) -> None:
    rsverify.certify_dataset(model, [], "out.tsv", bound="exakt")
    rsverify.certify_dataset(model, [], "out.tsv", scores="soft")
    rsverify.certify_dataset(model, [], "out.tsv", radius="R3")
    rsverify.certify_dataset(model, [], "out.tsv", lipschitz="automatic")
    rsverify.certify_dataset(model, [], "out.tsv", autocast="bfloat16")
    rsverify.recertify(table, bound="betting")
    rsverify.SmoothedClassifier.certify(model, x, bound="exakt")
    rsverify.SmoothedClassifier.certify(model, x, target_radii=0.5)
    rsverify.SmoothedClassifier.scores(model, x, n=9, scores="max")
