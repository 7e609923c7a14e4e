"""What users write: every public name is used, and a type checker sees what each call gives.

`tests/unit/test_front_door.py` runs ``mypy --strict`` over it. A comment after `reveal_type` is
the type that must be revealed; nothing here is executed.
"""

from typing import reveal_type

import numpy as np
import numpy.typing as npt

import rsverify

counts = [600, 50, 350]
votes = np.array([[600, 50, 350], [900, 50, 50]])
sample = [0.25, 0.5, 0.75]
samples = np.full((3, 10), 0.5)

# Scalars in, a float out; arrays in, an array out.
reveal_type(rsverify.clopper_pearson_lower(5, 10, 0.05))  # float
reveal_type(rsverify.clopper_pearson_lower([1, 5], 10, 0.05))  # array
reveal_type(rsverify.clopper_pearson_upper(np.int64(5), 10, np.float64(0.05)))  # float
reveal_type(rsverify.cohen_margin_lower(600, 1000, 0.001, estimand="probit"))  # float
reveal_type(rsverify.bonferroni_margin_lower(600, 50, 1000, 0.001, estimand="difference"))  # float
reveal_type(rsverify.exact_margin_lower(600, 50, 1000, 0.001, estimand="difference"))  # float
reveal_type(rsverify.exact_margin_lower(votes[:, 0], 50, 1000, 0.001, estimand="probit"))  # array
reveal_type(rsverify.two_proportion_lower(5, 10, 3, 10, 0.05, estimand="ratio"))  # float
reveal_type(rsverify.two_proportion_upper([1, 5], 10, 3, 10, 0.05))  # array
reveal_type(rsverify.hoeffding_lower(sample, 0.05))  # float
reveal_type(rsverify.hoeffding_lower(samples, 0.05))  # array | float
reveal_type(rsverify.hoeffding_upper(sample, 0.05))  # float
reveal_type(rsverify.empirical_bernstein_lower(sample, 0.05))  # float
reveal_type(rsverify.empirical_bernstein_upper(sample, 0.05))  # float
reveal_type(rsverify.plugin_bernstein_lower(sample, 0.05))  # float
reveal_type(rsverify.plugin_bernstein_upper(sample, 0.05))  # float
reveal_type(rsverify.betting_lower(sample, 0.05, strategy="star"))  # float
reveal_type(rsverify.betting_upper(sample, 0.05))  # float
reveal_type(rsverify.betting_interval(samples, 0.05))  # Interval
reveal_type(rsverify.plugin_bernstein_sequence(sample, 0.05))  # array
reveal_type(rsverify.betting_sequence(sample, 0.05))  # array

proportions: rsverify.Interval = rsverify.clopper_pearson_interval(5, 10, 0.05)
compared: rsverify.Interval = rsverify.two_proportion_interval(5, 10, 3, 12, 0.05)
interval: rsverify.Interval = rsverify.margin_sequence(votes, 0, 0.05, estimand="difference")
margin: rsverify.Margin = rsverify.Margin.PROBIT
status: rsverify.Status = rsverify.Status.CERTIFIED

# Certificates.
certificate: rsverify.Certificate = rsverify.certify_counts(counts, sigma=0.25, alpha=0.001, y=0)
mine = rsverify.Bound("mine", rsverify.clopper_pearson_lower, "proportion", data="counts")
reveal_type(certificate.radius)  # float
reveal_type(certificate.prediction)  # int
abstained: bool = certificate.prediction == rsverify.ABSTAIN
version: str = rsverify.__version__

# Decisions and scores.
early: rsverify.EarlyCertificate = rsverify.decide_counts(
    counts, target_radius=0.25, sigma=0.25, alpha=0.001, y=0
)
several: rsverify.RadiiCertificate = rsverify.decide_counts(
    counts, target_radius=[0.25, 0.5], sigma=0.25, alpha=0.001, y=0
)
known: rsverify.IntervalCertificate = rsverify.radius_interval_counts(
    counts, relative_precision=0.05, sigma=0.25, alpha=0.001, y=0
)
decisions = rsverify.decide_margins(votes, 0, [0.5, 1.0], 0.001, estimand="probit")
scored: rsverify.ScoreCertificate = rsverify.certify_scores(
    np.full((100, 2), 0.5), sigma=0.25, alpha=0.001, y=0, radius="R1"
)
decision = rsverify.decide_margin(votes, 0, 0.5, 0.001, estimand="probit")
margin_limit = rsverify.score_margin_lower(np.full((9, 2), 0.5), 0, 0.05, estimand="difference")
ordered = rsverify.exact_margin_lower(
    600, 50, 1000, 0.001, estimand="probit", ordering=rsverify.Taylor(5)
)
own = rsverify.buehler_lower(
    votes, 0.001, estimand="difference", ordering=lambda x1, x2: x1 - 2 * x2
)


# What an option may be, a checker knows: other spellings are mistakes, see `user_mistakes.py`.
def of_a_model(model: rsverify.SmoothedClassifier, x: npt.NDArray[np.float32]) -> None:
    """Certify one input in every way."""
    found: rsverify.Certificate = model.certify(x, n=1000, bound="exact", ordering="difference")
    soft = model.certify(
        x, bound="betting", radius="R1", lipschitz="auto", scores="sparsemax", temperature=2.0
    )
    reveal_type(model.predict(x, n=100, alpha=0.01))  # int
    reveal_type(found.radius_kind)  # Literal['R1', 'R2']
    reveal_type(found.estimand)  # Literal['difference', 'probit', 'laplace']
    reveal_type(early.decision)  # Literal['radius >= target', 'radius < target', 'undecided']
    print(soft.to_dict()["margin"])


# Models, tables, audits.
def whole_way(model: rsverify.SmoothedClassifier, images: list[object], out: str) -> None:
    """From a classifier to a comparison."""
    rsverify.certify_dataset(model, images, out, n=1000, seed=0)
    rsverify.certify_dataset(model, images, "share.tsv", n=1000, seed=0, share=(2, 8))
    rsverify.merge_tables([out, "share.tsv"], "both.tsv")
    plan: rsverify.Plan = rsverify.plan_dataset(model, images, target_radius=0.25, seconds=1.0)
    assumed = rsverify.plan_samples(
        probabilities=[0.9, 0.1], target_radius=[0.1, 0.2], alpha=0.001, sigma=0.5
    )
    right: rsverify.Interval = rsverify.population_share_interval(8, 10, 100, alpha=0.05)
    print(plan, assumed, right.lower)
    table = rsverify.read_table(out)
    again = rsverify.recertify(table, alpha=0.01, bound="cohen")
    published = rsverify.recertify_radii(table, n=1000, sigma=0.5, stated_alpha=0.001)
    votes = rsverify.read_counts("votes.csv", columns=["cat", "dog"])
    certificate = rsverify.certify_counts([90, 10], sigma=0.5, alpha=0.01, y=0)
    proof: rsverify.Verification = rsverify.verify_certificate(certificate)
    proofs: rsverify.TableVerification = rsverify.verify_table(out, sample=10)
    print(proof.verdict, proofs.counts)
    print(published, rsverify.certify_table(votes, sigma=0.5, alpha=[0.001], y="label"))
    first: rsverify.Analysis = rsverify.analyze(table)
    compared: rsverify.Comparison = rsverify.compare(first, rsverify.analyze(again))
    custom: rsverify.Estimand | None = None
    print(custom)
    report: rsverify.AuditReport = rsverify.audit(
        "hoeffding_lower", estimand="mean", n=10, alpha=0.05
    )
    report.plot("report.svg", kind="zip")
    reveal_type(report.verdict)  # Literal['refuted', 'supported', 'inconclusive']
    print(compared, report.verdict)

    def stakes(x: npt.NDArray[np.float64], m: float, alpha: float) -> npt.NDArray[np.float64]:
        return 0.0 * x + alpha * m

    program: rsverify.AuditReport = rsverify.audit_command(["Rscript", "b.R"], n=10, alpha=0.05)
    print(program.verdict, program.power)
    beside: rsverify.BoundComparison = rsverify.compare_bounds(
        ["hoeffding_lower", "betting_lower"], "mean", 10, 0.05, timing=False
    )
    print(beside.conclusion, beside.of("uniform", "betting_lower").share)
    bets: rsverify.AuditReport = rsverify.audit_bets(stakes, n=10, alpha=0.05, seed=1)
    capital: rsverify.AuditReport = rsverify.audit_capital(stakes, n=10, alpha=0.05)

    def test(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        p: npt.NDArray[np.float64] = np.exp(-2.0 * np.maximum(x.mean(axis=1) - 0.5, 0.0) ** 2)
        return p

    tested: rsverify.AuditReport = rsverify.audit_test(test, null=(None, 0.5), n=10, alpha=0.05)
    fair: rsverify.AuditReport = rsverify.audit_e_value(test, null=0.5, n=10, inputs="data")
    print(tested.verdict, fair.verdict)

    def predict(
        x: npt.NDArray[np.float64],
        y: npt.NDArray[np.float64],
        x_new: npt.NDArray[np.float64],
        alpha: float,
    ) -> npt.NDArray[np.float64]:
        del x, x_new, alpha
        return np.stack([y.min(axis=1), y.max(axis=1)], axis=1)

    predicted: rsverify.AuditReport = rsverify.audit_prediction_set(
        predict, n=19, alpha=0.1, claim="marginal", target="numbers"
    )
    rejected: rsverify.AuditReport = rsverify.audit_multiple_testing(
        lambda p, alpha: p <= alpha / p.shape[1], controls="FWER", n=5, alpha=0.05
    )
    print(predicted.verdict, rejected.verdict)
    print(bets.rows[0].measure, capital.verdict)
