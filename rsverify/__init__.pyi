# The public names, and where each is: read by type checkers, and at run time by `__init__.py`.
# Objects that users name in annotations are here too.

from ._core.margin import Margin as Margin
from .auditing.api import audit as audit
from .auditing.bets import audit_bets as audit_bets
from .auditing.capital import audit_capital as audit_capital
from .auditing.claims.pvalue import audit_test as audit_test
from .auditing.estimand import Estimand as Estimand
from .auditing.report import AuditReport as AuditReport
from .bounds.betting import betting_interval as betting_interval
from .bounds.betting import betting_lower as betting_lower
from .bounds.betting import betting_upper as betting_upper
from .bounds.bound import Bound as Bound
from .bounds.buehler import buehler_lower as buehler_lower
from .bounds.confidence_sequences import betting_sequence as betting_sequence
from .bounds.confidence_sequences import plugin_bernstein_sequence as plugin_bernstein_sequence
from .bounds.interval import Interval as Interval
from .bounds.margin import Taylor as Taylor
from .bounds.margin import bonferroni_margin_lower as bonferroni_margin_lower
from .bounds.margin import cohen_margin_lower as cohen_margin_lower
from .bounds.margin import exact_margin_lower as exact_margin_lower
from .bounds.margin_decision import decide_margin as decide_margin
from .bounds.margin_sequence import margin_sequence as margin_sequence
from .bounds.mean import empirical_bernstein_lower as empirical_bernstein_lower
from .bounds.mean import empirical_bernstein_upper as empirical_bernstein_upper
from .bounds.mean import hoeffding_lower as hoeffding_lower
from .bounds.mean import hoeffding_upper as hoeffding_upper
from .bounds.mean import plugin_bernstein_lower as plugin_bernstein_lower
from .bounds.mean import plugin_bernstein_upper as plugin_bernstein_upper
from .bounds.proportion import clopper_pearson_interval as clopper_pearson_interval
from .bounds.proportion import clopper_pearson_lower as clopper_pearson_lower
from .bounds.proportion import clopper_pearson_upper as clopper_pearson_upper
from .bounds.score_margin import score_margin_lower as score_margin_lower
from .certificates.abstention import Status as Status
from .certificates.certificate import ABSTAIN as ABSTAIN
from .certificates.certificate import Certificate as Certificate
from .certificates.certificate import certify_counts as certify_counts
from .certificates.early import EarlyCertificate as EarlyCertificate
from .certificates.early import decide_counts as decide_counts
from .certificates.scores import ScoreCertificate as ScoreCertificate
from .certificates.scores import certify_scores as certify_scores
from .smoothing.classifier import SmoothedClassifier as SmoothedClassifier
from .smoothing.dataset import certify_dataset as certify_dataset
from .tables.analysis import Analysis as Analysis
from .tables.analysis import analyze as analyze
from .tables.certify import certify_table as certify_table
from .tables.comparison import Comparison as Comparison
from .tables.comparison import compare as compare
from .tables.counts import read_counts as read_counts
from .tables.reader import read_table as read_table
from .tables.recertify import recertify as recertify
from .tables.recertify_radii import recertify_radii as recertify_radii

__version__: str
