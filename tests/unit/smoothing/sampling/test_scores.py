import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsverify import SmoothedClassifier
from rsverify.bounds.score_margin import plan_runners_up, runner_up_columns
from rsverify.certificates.scores import ScoreCertificate, certify_scores
from rsverify.certificates.simplex import SIMPLEX_MAPS
from rsverify.smoothing.sampling.scores import queue_columns, queue_scores
from rsverify.smoothing.score_maps import SCORE_MAPS, score_map

CPU = torch.device("cpu")
LOGITS = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 7)) * 2)


@pytest.mark.parametrize("name", SIMPLEX_MAPS)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_maps_agree_with_those_for_numpy(name, temperature):
    torch_scores = score_map(name, temperature)(LOGITS.float()).numpy()
    numpy_scores = SIMPLEX_MAPS[name](LOGITS.float().numpy(), temperature=temperature)

    np.testing.assert_allclose(torch_scores, numpy_scores, atol=1e-14)


@given(
    logits=st.integers(1, 6).flatmap(
        lambda m: st.lists(
            st.lists(st.floats(-1e300, 1e300) | st.floats(-9, 9), min_size=m, max_size=m),
            min_size=1,
            max_size=4,
        )
    ),
    temperature=st.floats(1e-3, 1e9) | st.floats(0.1, 10),
    name=st.sampled_from(list(SIMPLEX_MAPS)),
)
def test_maps_agree_with_those_for_numpy_everywhere(logits, temperature, name):
    torch_scores = score_map(name, temperature)(torch.tensor(logits, dtype=torch.float64)).numpy()
    numpy_scores = SIMPLEX_MAPS[name](logits, temperature=temperature)

    assert (torch_scores >= 0).all()
    np.testing.assert_allclose(torch_scores.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(torch_scores, numpy_scores, atol=1e-14)


def test_columns_are_those_of_the_whole_table():
    mapped = score_map("softmax", 1.0)
    whole = queue_scores(lambda b: b, LOGITS.split(33), 7, CPU, mapped)()
    plan = plan_runners_up(whole[:50], 2, 7, runners_up=3)

    arriving = queue_columns(lambda b: b, LOGITS.split(17), 7, CPU, mapped, n=200, y=2, plan=plan)
    sample = arriving()

    first, runners_up = runner_up_columns(whole, 2, plan)
    assert (sample.first == first).all()
    assert (sample.runners_up == runners_up).all()
    assert sample.runners_up.shape == (4, 200)
    np.testing.assert_allclose(sample.mean, whole.mean(axis=0), rtol=1e-12)
    assert (sample.votes == np.bincount(whole.argmax(axis=1), minlength=7)).all()


def test_memory_is_columns_not_classes():
    class Counting(torch.utils._python_dispatch.TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.largest = max(self.largest, out.untyped_storage().nbytes())
            return out

    n, m, k, batch = 5000, 1000, 9, 25
    plan = plan_runners_up(np.full((1, m), 1 / m), 0, m, runners_up=k)
    output = torch.zeros(batch, m)

    with Counting() as counting:
        queue_columns(
            lambda _: output,
            (torch.zeros(batch, 1) for _ in range(n // batch)),
            m,
            CPU,
            score_map("softmax", 1.0),
            n=n,
            y=0,
            plan=plan,
        )

    # The columns are the largest thing held: 0.4 MB, where all scores would take 40 MB.
    assert counting.largest == 8 * (k + 2) * n


PEAK = """
import torch
from rsverify import SmoothedClassifier

def peak():
    status = open("/proc/self/status", encoding="utf-8").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

m = 1000
row = torch.full((1, m), 0.4 / (m - 1))
row[0, 0] = 0.6
smoothed = SmoothedClassifier(lambda batch: row.expand(len(batch), m), m, 0.5)
options = dict(bound="betting", scores="identity", seed=0, batch_size=200)
smoothed.certify(torch.zeros(4), n=500, **options)  # what is loaded and compiled once
before = peak()
certificate = smoothed.certify(torch.zeros(4), n=100_000, **options)
print(peak() - before, certificate.radius)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_peak_memory_for_a_thousand_classes_is_within_the_stated_limit():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    peak, radius = map(float, done.stdout.split())

    assert 0.5 < radius < 1.0
    # Five copies of the columns, as the module says; all scores would be 800 MB.
    assert 8 * 11 * 100_000 < peak < 5 * 8 * 11 * 100_000


def linear(dimension=8, classes=5):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return torch.nn.Linear(dimension, classes)


INPUT = torch.linspace(-1, 1, 8)


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("options", [{}, {"radius": "R1", "lipschitz": 0.7}, {"y": 1}])
def test_certificate_is_that_of_the_same_scores(options):
    seen = []
    model = linear()

    def recording(batch):
        seen.append(torch.softmax(model(batch).double() / 0.5, dim=1).numpy())
        return model(batch)

    smoothed = SmoothedClassifier(recording, 5, 0.25)
    certificate = smoothed.certify(
        INPUT, n0=64, n=1000, batch_size=64, bound="betting", temperature=0.5, seed=0, **options
    )

    scores = np.concatenate(seen)
    expected = certify_scores(scores[64:], sigma=0.25, alpha=1e-3, selection=scores[:64], **options)
    assert isinstance(certificate, ScoreCertificate)
    # Rows are divided by their sums, once in torch and once in numpy, which round otherwise.
    assert certificate.radius == pytest.approx(expected.radius, rel=1e-13)
    assert certificate.margin == pytest.approx(expected.margin, rel=1e-13)
    assert certificate.counts == expected.counts
    assert certificate.selection_counts == expected.selection_counts
    assert certificate.seed == 0
    assert certificate.seconds > 0


def test_batch_size_does_not_matter_where_scores_do_not_depend_on_it():
    def model(batch):  # no matrix product, whose rounding depends on the batch
        return torch.stack([batch[:, 0], batch[:, 1], batch[:, 2]], dim=1)

    smoothed = SmoothedClassifier(model, 3, 0.5)
    options = {"n": 500, "bound": "betting", "seed": 4}

    certificates = [smoothed.certify(INPUT, batch_size=b, **options) for b in (7, 500)]

    assert certificates[0].margin == certificates[1].margin
    assert certificates[0].y == certificates[1].y == 2


def test_identity_needs_rows_on_the_simplex():
    def model(batch):
        return torch.full((len(batch), 2), 0.6)

    smoothed = SmoothedClassifier(model, 2, 0.5)

    with pytest.raises(ValueError, match="not on the simplex"):
        smoothed.certify(INPUT, n=10, bound="betting", scores="identity")


def test_nan_scores_are_reported():
    def model(batch):
        return torch.full((len(batch), 2), torch.nan)

    with pytest.raises(ValueError, match="scores of 100 of 100 noisy inputs are NaN"):
        SmoothedClassifier(model, 2, 0.5).certify(INPUT, n=10, bound="betting")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": "betting", "scores": "relu"}, "scores='relu' must be one of"),
        ({"bound": "betting", "temperature": 0.0}, "temperature=0.0"),
        ({"bound": "betting", "scores": "identity", "temperature": 2.0}, "temperature=2.0"),
        ({"bound": "betting", "ordering": "difference"}, "ordering='difference'"),
        ({"bound": "betting", "y": 5}, "y=5 must be a class between 0 and 4"),
        ({"bound": "betting", "alpha": 0.0}, "alpha=0.0"),
        ({"bound": "betting", "lipschitz": 1.0}, "lipschitz=1.0 must be None"),
        ({"bound": "betting", "target_radius": 0.1}, "bound='betting'"),
        ({"scores": "sparsemax"}, "scores='sparsemax'"),
        ({"temperature": 2.0}, "temperature=2.0"),
        ({"target_radius": 0.0}, "target_radius=0.0"),
        ({"target_radius": 0.1, "ordering": "difference"}, "ordering='difference'"),
    ],
)
def test_bad_options_are_refused_before_sampling(options, message):
    def model(_):
        raise AssertionError("sampled")

    with pytest.raises((ValueError, TypeError), match=message):
        SmoothedClassifier(model, 5, 0.5).certify(INPUT, n=10, **options)


def test_all_maps_are_offered():
    assert set(SCORE_MAPS) == {*SIMPLEX_MAPS, "identity"}
