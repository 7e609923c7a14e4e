"""SmoothedClassifier: where noise enters, what is left untouched, what is refused."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import multinomial

torch = pytest.importorskip("torch")

from rsverify import ABSTAIN, SmoothedClassifier, certify_counts  # noqa: E402
from rsverify.certificates.certificate import Certificate  # noqa: E402
from rsverify.smoothing import classifier as module  # noqa: E402

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]


def simplex_counts(n: int, m: int) -> np.ndarray:
    bars = np.array(list(itertools.combinations(range(n + m - 1), m - 1)))
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), n + m - 1)])
    return np.diff(edges, axis=1) - 1


def sign_of_first(batch: torch.Tensor) -> torch.Tensor:
    return torch.stack([-batch.flatten(1)[:, 0], batch.flatten(1)[:, 0]], dim=1)


def convolutional() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(inplace=True),
        torch.nn.Dropout(0.5),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 5),
    )


IMAGE = torch.linspace(0, 1, 64).reshape(1, 8, 8)


@pytest.mark.parametrize("device", DEVICES)
def test_votes_have_the_right_probabilities(device: str) -> None:
    # P(x_0 + noise > 0) = Phi(0.5/0.5); 4.5 standard errors at a fixed seed.
    smoothed = SmoothedClassifier(sign_of_first, 2, 0.5, device=device)
    votes = smoothed.counts(torch.tensor([0.5, 9.0]), n=40_000, batch_size=999, seed=1)
    p = 0.5 * math.erfc(-1 / math.sqrt(2))
    assert votes.sum() == 40_000
    assert abs(votes[1] / 40_000 - p) < 4.5 * math.sqrt(p * (1 - p) / 40_000)


@pytest.mark.parametrize("device", DEVICES)
def test_module_is_left_exactly_as_found(device: str) -> None:
    model = convolutional().to(device)
    model.train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model(torch.rand(2, 1, 8, 8, device=device)).sum().backward()
    flags = [m.training for m in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    hooks = [len(m._forward_hooks) for m in model.modules()]
    cpu_random = torch.get_rng_state()

    smoothed = SmoothedClassifier(model, 5, 0.25)
    smoothed.certify(IMAGE, n0=10, n=100, seed=0, bound="cohen")
    smoothed.predict(IMAGE, n=10, seed=0)

    assert [m.training for m in model.modules()] == flags
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        assert (parameter.grad is None) if grad is None else torch.equal(parameter.grad, grad)
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 5
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    assert all(p.device.type == device for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), cpu_random)


def test_module_is_left_as_found_when_it_fails_mid_way() -> None:
    class FailsAtThirdBatch(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Dropout()
            self.calls = 0

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            assert not self.training
            assert not torch.is_grad_enabled()
            self.calls += 1
            if self.calls == 3:
                raise RuntimeError("out of something")
            return sign_of_first(self.inner(batch))

    model = FailsAtThirdBatch().train()
    with pytest.raises(RuntimeError, match="out of something"):
        SmoothedClassifier(model, 2, 1.0).counts(IMAGE, n=100, batch_size=10)
    assert model.calls == 3
    assert model.training
    assert model.inner.training
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("device", DEVICES)
def test_model_runs_in_evaluation_mode(device: str) -> None:
    # Dropout and batch statistics would make these counts depend on the batch size.
    smoothed = SmoothedClassifier(convolutional().to(device).train(), 5, 0.5)
    first = smoothed.counts(IMAGE, n=120, batch_size=120, seed=3)
    assert len(np.flatnonzero(first)) > 1
    for batch_size in (1, 33, 10_000):
        again = smoothed.counts(IMAGE, n=120, batch_size=batch_size, seed=3)
        assert again.tolist() == first.tolist()


def test_noise_is_added_before_preprocess_in_input_units() -> None:
    seen: dict[str, torch.Tensor] = {}

    def shrink(batch: torch.Tensor) -> torch.Tensor:
        seen["raw"] = batch.clone()
        return (batch - 0.5) / 100

    def model(batch: torch.Tensor) -> torch.Tensor:
        seen["model"] = batch.clone()
        return sign_of_first(batch)

    smoothed = SmoothedClassifier(model, 2, 0.25, preprocess=shrink)
    smoothed.counts(torch.full((1000,), 0.5), n=200, seed=0)
    assert torch.equal(seen["model"], (seen["raw"] - 0.5) / 100)
    noise = seen["raw"].double() - 0.5
    # 200,000 draws: standard error of the deviation 0.25/sqrt(400,000).
    assert abs(float(noise.std()) - 0.25) < 5 * 0.25 / math.sqrt(400_000)


def test_preprocess_module_runs_in_evaluation_mode_and_is_restored() -> None:
    dropout = torch.nn.Dropout(0.9).train()
    seen: list[torch.Tensor] = []

    def model(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.clone())
        return sign_of_first(batch)

    SmoothedClassifier(model, 2, 0.1, preprocess=dropout).counts(IMAGE, n=20, seed=0)
    assert (seen[0] != 0).all()
    assert dropout.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_batches_have_the_models_floating_type(dtype: torch.dtype) -> None:
    class Recorder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("steps", torch.zeros(1, dtype=torch.int64))
            self.register_buffer("scale", torch.ones(1, dtype=dtype))

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            self.seen = batch.dtype
            return sign_of_first(batch)

    model = Recorder()
    SmoothedClassifier(model, 2, 1.0).counts(IMAGE, n=5)
    assert model.seen == dtype
    SmoothedClassifier(model, 2, 1.0, dtype=torch.float32).counts(IMAGE, n=5)
    assert model.seen == torch.float32


def test_numpy_and_torch_inputs_give_the_same_votes() -> None:
    smoothed = SmoothedClassifier(sign_of_first, 2, 1.0)
    array = np.array([0.2, 0.4], dtype=np.float32)
    array.setflags(write=False)
    tensor = torch.tensor([0.2, 0.4], requires_grad=True)
    votes = smoothed.counts(array, n=300, seed=0)
    assert votes.tolist() == smoothed.counts(tensor, n=300, seed=0).tolist()
    assert votes.tolist() == smoothed.counts(array[::-1][::-1], n=300, seed=0).tolist()


def test_seeds() -> None:
    smoothed = SmoothedClassifier(sign_of_first, 2, 1.0)
    x = torch.zeros(3)

    def votes(seed: object) -> list[int]:
        return smoothed.counts(x, n=10_000, seed=seed).tolist()

    assert votes(1) == votes(1) == votes(np.int64(1))
    assert votes((1, 2)) == votes([1, 2])
    assert len({tuple(votes(seed)) for seed in (1, 2, (1, 2), (1, 3), None, None)}) >= 5


@pytest.mark.parametrize("device", DEVICES)
def test_certificate_echoes_what_replays_it(device: str) -> None:
    smoothed = SmoothedClassifier(sign_of_first, 2, 0.5, device=device)
    x = torch.tensor([0.4])
    fresh = smoothed.certify(x, n0=20, n=500, alpha=0.01, bound="cohen")
    assert isinstance(fresh, Certificate)
    assert isinstance(fresh.seed, int)
    again = smoothed.certify(
        x, n0=20, n=500, alpha=0.01, bound="cohen", seed=fresh.seed, batch_size=77
    )
    assert again == fresh
    assert fresh.seconds > 0
    assert (fresh.n0, fresh.n, fresh.sigma, fresh.alpha) == (20, 500, 0.5, 0.01)
    listed = smoothed.certify(x, n0=20, n=50, bound="cohen", seed=[3, 4])
    assert listed.seed == (3, 4)


def test_one_pass_serves_several_bounds() -> None:
    smoothed = SmoothedClassifier(sign_of_first, 2, 0.5)
    options = {"n0": 20, "n": 500, "alpha": 0.01, "seed": 5}
    exact = smoothed.certify(torch.tensor([0.4]), **options)
    for bound in ("bonferroni", "cohen"):
        sampled = smoothed.certify(torch.tensor([0.4]), bound=bound, **options)
        derived = certify_counts(
            exact.counts, selection=exact.selection_counts, sigma=0.5, alpha=0.01, bound=bound
        )
        assert (*sampled, sampled.margin, sampled.reason) == (
            *derived,
            derived.margin,
            derived.reason,
        )


def test_given_class_needs_no_selection_and_keeps_the_estimation_sample() -> None:
    smoothed = SmoothedClassifier(sign_of_first, 2, 0.5)
    chosen = smoothed.certify(torch.tensor([0.4]), n0=50, n=500, seed=5, bound="cohen")
    given = smoothed.certify(torch.tensor([0.4]), n=500, seed=5, bound="cohen", y=0)
    assert given.counts == chosen.counts
    assert (given.y, chosen.y) == (0, 1)
    assert (given.n0, given.selection_counts) == (0, None)
    assert given.prediction == ABSTAIN


@pytest.mark.usefixtures("unprobed")
def test_selection_and_estimation_use_different_noise() -> None:
    seen: list[torch.Tensor] = []

    def model(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.clone())
        return sign_of_first(batch)

    smoothed = SmoothedClassifier(model, 2, 1.0)
    smoothed.certify(torch.zeros(4), n0=30, n=30, seed=0, bound="cohen")
    smoothed.predict(torch.zeros(4), n=30, seed=0)
    smoothed.counts(torch.zeros(4), n=30, seed=0)
    assert sum(map(len, seen)) == 30 * 4  # the two samples of the first share a batch
    assert len(torch.unique(torch.cat(seen))) == 4 * 30 * 4


def test_radius_and_ordering_options_reach_the_certificate() -> None:
    smoothed = SmoothedClassifier(sign_of_first, 2, 0.5)
    certificate = smoothed.certify(
        torch.tensor([0.9]),
        n=200,
        seed=0,
        y=1,
        radius="R1",
        lipschitz=0.01,
        ordering="difference",
    )
    assert (certificate.radius_kind, certificate.lipschitz) == ("R1", 0.01)
    assert certificate.ordering == "difference"
    assert certificate.radius > 10


# Prediction


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_prediction_follows_the_exact_two_sided_test(alpha: float) -> None:
    for n in (1, 5, 8, 11, 40):
        for first in range(n + 1):
            top = max(first, n - first)
            tail = sum(math.comb(n, k) for k in range(top, n + 1))
            significant = min(Fraction(2 * tail, 2**n), Fraction(1)) <= Fraction(alpha)
            expected = (0 if first == top else 2) if significant else ABSTAIN
            assert module._winner(np.array([first, 0, n - first]), alpha) == expected


def test_prediction_ignores_votes_of_other_classes() -> None:
    assert module._winner(np.array([0, 11, 10, 10, 10]), 0.001) == ABSTAIN
    assert module._winner(np.array([0, 40, 10, 10, 10]), 0.001) == 1


@pytest.mark.parametrize(("n", "m"), [(14, 2), (14, 3), (8, 4)])
def test_prediction_is_wrong_with_probability_at_most_alpha(n: int, m: int) -> None:
    alpha = 0.1
    counts = simplex_counts(n, m)
    winners = np.array([module._winner(row, alpha) for row in counts])
    worst = 0.0
    for q in simplex_counts(24, m) / 24:
        # Wrong: a class that is not among the most probable.
        wrong = (winners != ABSTAIN) & (q[winners] < q.max())
        worst = max(worst, float(multinomial.pmf(counts[wrong], n, q).sum()))
    assert 0.1 * alpha < worst <= alpha  # above 0: the test has something to see


def test_predict_samples_and_abstains() -> None:
    smoothed = SmoothedClassifier(sign_of_first, 2, 1.0)
    assert smoothed.predict(torch.tensor([1.0]), n=1000, seed=0) == 1
    assert smoothed.predict(torch.tensor([-1.0]), n=1000, seed=0) == 0
    assert smoothed.predict(torch.tensor([0.0]), n=1000, seed=0) == ABSTAIN


# Bad input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": 3}, TypeError, "model=3 must be a torch.nn.Module or a callable"),
        ({"num_classes": 1}, ValueError, "num_classes=1 must be at least 2"),
        ({"num_classes": 2.5}, ValueError, "num_classes=2.5 must be an integer"),
        ({"sigma": 0.0}, ValueError, "sigma=0.0 must be positive"),
        ({"sigma": [0.1, 0.2]}, ValueError, r"sigma of shape \(2,\)"),
        ({"preprocess": 3}, TypeError, "preprocess=3 must be a callable or None"),
        ({"dtype": "float32"}, TypeError, "dtype='float32' must be a torch.dtype"),
        ({"dtype": torch.int64}, ValueError, "dtype=torch.int64 must be a floating type"),
    ],
)
def test_bad_construction_is_refused(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    arguments = {"model": sign_of_first, "num_classes": 2, "sigma": 0.5} | change
    with pytest.raises(error, match=message):
        SmoothedClassifier(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": [0.1, 0.2]}, TypeError, "x of type list must be a torch.Tensor"),
        ({"x": torch.zeros(3, dtype=torch.uint8)}, TypeError, "x of dtype torch.uint8 must be fl"),
        ({"x": np.zeros(3, dtype=int)}, TypeError, "x of dtype int64 must be floating"),
        ({"x": torch.tensor(0.5)}, ValueError, r"x of shape \(\) must be one input"),
        ({"x": torch.zeros(3, 0)}, ValueError, r"x of shape \(3, 0\) must be one input"),
        ({"x": torch.tensor([0.0, math.nan])}, ValueError, "x contains NaN"),
        ({"x": np.array([0.0, math.inf])}, ValueError, "x contains NaN or a value beyond"),
        ({"n": 0}, ValueError, "n=0 must be at least 1"),
        ({"n": 10.5}, ValueError, "n=10.5 must be an integer"),
        ({"n": [10]}, ValueError, r"n of shape \(1,\) must be a single number"),
        ({"n0": 0}, ValueError, "n0=0 must be at least 1"),
        ({"n": 10**12}, ValueError, "n"),
        ({"batch_size": 0}, ValueError, "batch_size=0 must be at least 1"),
        ({"seed": -1}, ValueError, "seed=-1 must not be negative"),
        ({"seed": 1.5}, TypeError, "seed=1.5 must be an integer"),
        ({"seed": "one"}, TypeError, "seed='one' must be an integer"),
        ({"seed": ()}, TypeError, r"seed=\(\) must be an integer"),
        ({"alpha": 2.0}, ValueError, r"alpha=2.0 must be in \(0, 1\)"),
        ({"bound": "best"}, ValueError, "bound='best' must be one of"),
        ({"radius": "R0"}, ValueError, "radius='R0' must be one of"),
        ({"ordering": "best"}, ValueError, "ordering='best'"),
        ({"y": 2}, ValueError, "y=2 must be a class between 0 and 1"),
        ({"lipschitz": 1.0}, ValueError, "lipschitz=1.0 must be None"),
    ],
)
def test_bad_calls_are_refused_before_sampling(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    def model(batch: torch.Tensor) -> torch.Tensor:
        pytest.fail(f"sampled {len(batch)} inputs")

    smoothed = SmoothedClassifier(model, 2, 0.5)
    arguments = {"x": torch.zeros(3), "n": 50, "seed": 0} | change
    with pytest.raises(error, match=message):
        smoothed.certify(arguments.pop("x"), **arguments)


def test_predict_refuses_a_bad_alpha_before_sampling() -> None:
    def model(batch: torch.Tensor) -> torch.Tensor:
        pytest.fail(f"sampled {len(batch)} inputs")

    for alpha in (0.0, [0.1, 0.2]):
        with pytest.raises(ValueError, match="alpha"):
            SmoothedClassifier(model, 2, 0.5).predict(torch.zeros(3), n=10, alpha=alpha)


def test_wrong_number_of_classes_is_reported() -> None:
    with pytest.raises(ValueError, match=r"with num_classes=7 it must be \(8, 7\)"):
        SmoothedClassifier(sign_of_first, 7, 0.5).counts(torch.zeros(3), n=50)


def test_representation_names_the_model() -> None:
    assert "Sequential, num_classes=5, sigma=0.25" in repr(
        SmoothedClassifier(convolutional(), 5, 0.25)
    )
    assert "sign_of_first" in repr(SmoothedClassifier(sign_of_first, 2, 0.25))
