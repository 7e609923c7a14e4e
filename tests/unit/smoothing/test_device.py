"""What depends on the device, on GPUs simulated on the CPU: nothing is read before it is there."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.simulated_gpu import SimulatedGpus  # noqa: E402

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.smoothing import device as devices  # noqa: E402
from rsverify.smoothing.device import (  # noqa: E402
    DeviceContext,
    choose_device,
    device_facts,
    exhausted,
    first_batch_size,
    has_float64,
    indexable_batch_size,
)

CLASSES = 4
INPUTS = torch.linspace(0, 1, 15).reshape(3, 5)


@pytest.fixture
def gpus(monkeypatch):
    with SimulatedGpus().running(monkeypatch) as simulated:
        yield simulated


def always(k: int, batches: list[int] | None = None):
    """A model that votes for class k, whatever it is shown."""

    def model(batch):
        if batches is not None:
            batches.append(len(batch))
        return (torch.arange(CLASSES, device=batch.device) == k).float().expand(len(batch), CLASSES)

    return model


def smoothed(k: int, device: str = "cuda:1", **options) -> SmoothedClassifier:
    return SmoothedClassifier(always(k), CLASSES, 0.5, device=device, **options)


def table_of(classifier: SmoothedClassifier, out: Any, x: Any = INPUTS, **options) -> Any:
    given = {"n": 300, "batch_size": 32, "seed": 0, "progress": False, "record_time": False}
    return certify_dataset(classifier, x, out, **(given | options))


WAYS = {
    "votes": {"bound": "cohen"},
    "target": {"target_radius": 0.2},
    "scores": {"bound": "betting", "radius": "R1"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_late_votes_are_waited_for_on_any_gpu(gpus, tmp_path, way, k):
    """The model votes for k alone: any other answer was read before the votes had arrived."""
    gpus.current = 0
    table = table_of(smoothed(k), tmp_path / "table.tsv", **WAYS[way])

    assert (table["predict"] == k).all()
    assert (table["base_predict"] == k).all()
    assert (table[f"count_{k}"] > 0).all()
    assert (table[[f"count_{j}" for j in range(CLASSES) if j != k]] == 0).all(axis=None)


@pytest.mark.parametrize("way", WAYS)
def test_no_other_gpu_is_touched_and_no_copy_waits(gpus, tmp_path, way):
    """A context holds hundreds of megabytes; a copy from pageable memory waits for the stream."""
    table_of(smoothed(2), tmp_path / "table.tsv", **WAYS[way])

    assert gpus.contexts == {1}
    assert gpus.current == 0
    assert gpus.pageable_copies == 0


def recorded_elsewhere(_self: Any, values: torch.Tensor) -> devices.Arriving:
    """As it was: the event on the current device, whichever that is."""
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return devices.Arriving(host, event)


def recorded_too_early(_self: Any, values: torch.Tensor) -> devices.Arriving:
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(values.device))
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return devices.Arriving(host.copy_(values, non_blocking=True), event)


@contextmanager
def _nothing(_self: Any):
    yield


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("wrong", [recorded_elsewhere, recorded_too_early])
def test_the_simulation_shows_votes_that_are_read_too_early(tmp_path, monkeypatch, wrong):
    monkeypatch.setattr(DeviceContext, "fetch", wrong)
    monkeypatch.setattr(DeviceContext, "active", _nothing)
    table = table_of(smoothed(2), tmp_path / "table.tsv", bound="cohen")

    assert (table["predict"] != 2).any()


@pytest.mark.parametrize("k", [2, 3])
def test_one_input_by_every_method(gpus, k):
    classifier = smoothed(k)
    for more in ({}, {"target_radius": 0.2}, {"bound": "betting", "radius": "R1"}):
        certificate = classifier.certify(INPUTS[0], n=300, batch_size=64, seed=1, **more)
        assert certificate.prediction == k
    assert classifier.predict(INPUTS[0], n=100, seed=0) == k
    assert classifier.counts(INPUTS[0], n=100, seed=0).tolist()[k] == 100
    assert (classifier.scores(INPUTS[0], n=10, seed=0).argmax(axis=1) == k).all()
    assert gpus.contexts == {1}


def test_a_stream_of_the_caller_is_used_and_waited_for(gpus, tmp_path):
    side = torch.cuda.Stream("cuda:1")
    with torch.cuda.device(1), torch.cuda.stream(side):
        table = table_of(smoothed(2), tmp_path / "table.tsv", bound="cohen")

    assert (table["predict"] == 2).all()
    assert side.done == len(side.queue) > 0
    assert not gpus.streams[1].queue


def test_what_the_caller_does_between_results_changes_nothing(gpus):
    """A scheduler is a generator: between its results the caller may choose other devices."""
    from rsverify.smoothing.request import Request
    from rsverify.smoothing.sampling.batches import CleanInput
    from rsverify.smoothing.sampling.job import Job, Scheduler

    classifier = smoothed(2, "cuda:0")
    request = Request(n0=20, n=200, bound="cohen")
    jobs = []
    for x in INPUTS:
        centre, model = classifier.centre(x)
        source = CleanInput(classifier.noise, centre)
        question = request.question(classifier.noise, None)
        jobs.append(Job(CLASSES, 20, 200, question, sources=(source, source, source)))
    batch = torch.empty((32, 5), device="cuda:0")
    made = list[Any]()
    for done, _ in Scheduler(jobs, lambda b: model(b).argmax(dim=1), batch, in_flight=4).run():
        made += done
        assert gpus.current in (0, 1)
        torch.cuda.set_device(1)
        gpus.streams[0] = torch.cuda.Stream("cuda:0")
    assert [job.certificate.prediction for job in made] == [2, 2, 2]
    assert gpus.current == 1


@pytest.mark.parametrize("way", WAYS)
def test_waits_for_the_device_do_not_grow_with_batches(monkeypatch, tmp_path, way):
    """Events of single batches aside, which let the device go on."""
    waits = {}
    for size in (8, 64):
        with SimulatedGpus().running(monkeypatch) as gpus:
            table_of(smoothed(2), tmp_path / f"{size}.tsv", batch_size=size, **WAYS[way])
            waits[size] = gpus.waits
    assert waits[8] == waits[64]


@pytest.mark.parametrize(
    "more", [{}, {"target_radius": 5.0, "futility": 0.0}], ids=["all", "target"]
)
def test_waits_of_one_input_do_not_grow_with_votes(monkeypatch, more):
    waits = []
    for n in (200, 2000):
        with SimulatedGpus().running(monkeypatch) as gpus:
            smoothed(2).certify(INPUTS[0], n=n, batch_size=32, seed=0, **more)
            waits.append(gpus.waits)
    assert waits[0] == waits[1]


@pytest.mark.usefixtures("gpus")
def test_scores_of_the_next_input_are_queued_before_those_of_one_are_waited_for(tmp_path):
    """The device has work whenever the host waits, but for the last input."""
    batches: list[int] = []
    queued: list[int] = []
    real = devices.Arriving.numpy

    def counted(self: devices.Arriving) -> Any:
        queued.append(len(batches))
        return real(self)

    classifier = SmoothedClassifier(always(2, batches), CLASSES, 0.5, device="cuda:1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices.Arriving, "numpy", counted)
        x = torch.rand(6, 5)
        table_of(classifier, tmp_path / "t.tsv", x, batch_size=500, **WAYS["scores"])
    # One trial; then three inputs are begun, each by its own vote and a selection sample.
    assert queued[0] >= 1 + 3 * 2


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
@pytest.mark.parametrize(("n", "n0", "batch"), [(10_000, 100, 4096), (1000, 50, 256)])
def test_a_bound_of_scores_evaluates_one_row_for_its_clean_vote(
    monkeypatch, tmp_path, device, n, n0, batch
):
    batches: list[int] = []
    with SimulatedGpus().running(monkeypatch):
        classifier = SmoothedClassifier(always(2, batches), CLASSES, 0.5, device=device)
        options = {"bound": "hoeffding", "radius": "R1", "n": n, "n0": n0, "batch_size": batch}
        table_of(classifier, tmp_path / "table.tsv", **options)
    assert batches[0] == batch  # the trial
    assert sum(batches[1:]) == len(INPUTS) * (n + n0 + 1)


def test_a_table_of_a_simulated_gpu_is_that_of_the_cpu(monkeypatch, tmp_path):
    """The simulation draws noise as the CPU does; so all else must give the same bytes."""
    torch.manual_seed(0)
    weights = torch.randn(5, CLASSES)

    def net(batch):
        return batch @ weights.to(batch.device)

    for name, options in WAYS.items():
        out = tmp_path / f"{name}.tsv"
        table_of(SmoothedClassifier(net, CLASSES, 0.5), out, **options)
    monkeypatch.setattr("rsverify.smoothing.noise.gaussian._state_with", lambda _: None)
    with SimulatedGpus().running(monkeypatch):
        for name, options in WAYS.items():
            out = tmp_path / f"{name}-gpu.tsv"
            classifier = SmoothedClassifier(net, CLASSES, 0.5, device="cuda:0")
            first = table_of(classifier, out, **options)
            again = table_of(classifier, tmp_path / f"{name}-2.tsv", batch_size=77, **options)
            assert first.equals(again)


@pytest.mark.parametrize("where", ["cuda:0", "cuda:1"])
def test_data_on_a_gpu_waits_once_for_each_input(gpus, tmp_path, where):
    x = INPUTS.to(where)
    labels = torch.tensor([2, 1, 2]).to(where)
    here, there = tmp_path / "here.tsv", tmp_path / "there.tsv"
    gpus.waits = 0
    wanted = table_of(smoothed(2), here, (INPUTS, labels.cpu()), bound="cohen")
    before, gpus.waits = gpus.waits, 0
    found = table_of(smoothed(2), there, (x, labels), bound="cohen")
    # The first input is loaded twice, as an example too; and the labels come once.
    assert gpus.waits - before <= len(INPUTS) + 2
    assert found.equals(wanted)
    assert here.read_bytes() == there.read_bytes()


# Where to compute.


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("wanted", "rank", "found"),
    [
        ("cpu", None, "cpu"),
        ("cuda", None, "cuda:0"),
        ("cuda", "1", "cuda:1"),
        ("cuda:0", "1", "cuda:0"),
        ("auto", None, "cuda:0"),
        ("auto", "1", "cuda:1"),
        (torch.device("cuda"), "1", "cuda:1"),
    ],
)
def test_a_device_is_chosen_with_its_index(monkeypatch, wanted, rank, found):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert choose_device(wanted) == torch.device(found)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("wanted", "rank", "message"),
    [
        ("cuda", "2", "LOCAL_RANK=2 must be below 2, the number of GPUs of this machine"),
        ("auto", "7", "LOCAL_RANK=7 must be below 2"),
        ("cuda", "first", "LOCAL_RANK=first must be below 2"),
        ("cuda", "-1", "LOCAL_RANK=-1 must be below 2"),
        ("cuda:2", None, "device='cuda:2' must be one of the 2 GPUs of this machine"),
        ("mps", None, "device='mps' must be on this machine"),
        ("xpu:0", None, "device='xpu:0' must be on this machine"),
        ("gpu", None, "device='gpu' must be 'auto' or one such as"),
        ("cuda:x", None, "device='cuda:x' must be 'auto' or one such as"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(monkeypatch, wanted, rank, message):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    with pytest.raises(ValueError, match=message.replace("(", r"\(")) as caught:
        choose_device(wanted)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "mps"])
def test_a_machine_without_a_gpu_says_so(wanted):
    if wanted == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ValueError, match=r"must be on this machine.*use 'cpu' or 'auto'"):
        SmoothedClassifier(always(0), CLASSES, 0.5, device=wanted)
    assert choose_device("auto").type in ("cpu", "mps", "xpu")


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_weights_elsewhere_are_named(device, tmp_path):
    net = torch.nn.Linear(5, CLASSES)
    other = "cuda:1" if device == "cuda:0" else "cuda:0"
    classifier = SmoothedClassifier(net, CLASSES, 0.5, device=other)
    with pytest.raises(ValueError, match=rf"device='{other}' must be where the model is"):
        table_of(classifier, tmp_path / "table.tsv")


# Too little memory.

EXHAUSTED = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.OutOfMemoryError("HIP out of memory. Tried to allocate 512.00 MiB."),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("hipErrorOutOfMemory"),
    RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError(
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a "
        "non-contiguous input."
    ),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`"),
    RuntimeError("miopenStatusAllocFailed"),
    RuntimeError("rocblas_status_memory_error"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB)."),
    RuntimeError("Invalid buffer size: 36.00 GB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    MemoryError("std::bad_alloc"),
    MemoryError("Unable to allocate 64.0 GiB for an array"),
    Exception("Failed to allocate memory for requested buffer of size 1073741824"),
    RuntimeError("Expected canUse32BitIndexMath(input) && canUse32BitIndexMath(output) to be true"),
    RuntimeError("upsample_nearest2d only supports input tensors with less than INT_MAX elements"),
    RuntimeError("CUDA error: invalid configuration argument"),
]


def wrapped(error: Exception, how: str) -> BaseException:
    if how == "as it is":
        return error
    if how == "inner":
        from torch._dynamo.exc import BackendCompilerFailed

        return BackendCompilerFailed(lambda: None, error, None)
    try:
        try:
            raise error
        except Exception as inner:
            if how == "cause":
                raise RuntimeError("backend='inductor' raised") from inner
            raise RuntimeError("while the compiler ran")  # noqa: B904
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize("how", ["as it is", "cause", "context", "inner"])
@pytest.mark.parametrize("error", EXHAUSTED, ids=lambda e: str(e)[:40])
def test_too_little_memory_is_recognised(error, how):
    assert exhausted(wrapped(error, how)) in ("out of memory", "beyond what kernels index")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (64x5 and 6x4)"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`"),
        RuntimeError("out of resource: shared memory, Required: 147456, Hardware limit: 101376"),
        RuntimeError("Expected all tensors to be on the same device"),
        ValueError("class 7 is out of memory bank range"),
        ValueError("one input alone does not fit into memory"),
        KeyboardInterrupt(),
        StopIteration(),
    ],
    ids=str,
)
def test_other_errors_are_not_taken_for_it(error):
    assert exhausted(error) is None


def test_an_error_that_caused_itself_ends():
    error = RuntimeError("odd")
    error.__context__ = error
    assert exhausted(error) is None


@pytest.mark.parametrize("error", EXHAUSTED[::4], ids=lambda e: str(e)[:30])
@pytest.mark.parametrize("way", WAYS)
def test_batches_are_halved_until_they_fit(gpus, tmp_path, error, way):
    sizes: list[int] = []
    model = always(2, sizes)

    def limited(batch):
        if len(batch) > 20:
            raise error
        return model(batch)

    classifier = SmoothedClassifier(limited, CLASSES, 0.5, device="cuda:1")
    table = table_of(classifier, tmp_path / "table.tsv", batch_size=64, **WAYS[way])
    assert (table["predict"] == 2).all()
    assert max(sizes) == 16
    assert gpus.emptied > 0
    assert gpus.contexts == {1}


def test_what_never_fits_says_what_the_library_said(tmp_path):
    def broken(_batch):
        raise RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This may be something else.")

    classifier = SmoothedClassifier(broken, CLASSES, 0.5)
    with pytest.raises(ValueError, match=r"does not fit into memory: RuntimeError: cuDNN error"):
        table_of(classifier, tmp_path / "table.tsv")


# Sizes.

CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((3, 224, 224), 256),
        ((3, 299, 299), 128),
        ((3, 32, 32), 4096),
        ((1, 28, 28), 4096),
        ((1, 128, 128, 128), 16),
        ((2**31,), 1),
    ],
)
def test_the_first_batch_can_be_indexed(shape, size):
    """By 32 bits, its widest layers of 32 times the numbers included."""
    assert first_batch_size(CUDA, shape) == size
    assert first_batch_size(torch.device("cpu"), shape) == 64


@pytest.mark.parametrize(
    ("wanted", "shape", "size"),
    [(4096, (3, 224, 224), 4096), (20_000, (3, 224, 224), 10_000), (10**12, (3, 32, 32), 476_838)],
)
def test_a_batch_that_is_asked_for_can_be_indexed(wanted, shape, size):
    assert indexable_batch_size(wanted, CUDA, shape) == size
    assert size * math.prod(shape) < 2**31


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_batch_is_held_once(gpus, channels_last):
    """Not made in one memory format and copied to the other."""
    from rsverify.smoothing.request import Request
    from rsverify.smoothing.sampling.session import Engine, Execution

    x = torch.rand(3, 8, 8)
    engine = Engine(smoothed(2), Request(), Execution(channels_last=channels_last), (0,), False, x)
    gpus.made.clear()
    batch = engine._new_batch(1000)
    assert batch.is_contiguous(memory_format=torch.channels_last) == channels_last
    makers = ("empty", "clone", "copy", "contiguous", "zeros", "empty_like")
    made = [name for name, shape in gpus.made if shape == (1000, 3, 8, 8)]
    assert sum(any(maker in name for maker in makers) for name in made) == 1, made


# Devices that lack float64, or whole words.


@pytest.fixture
def mps(monkeypatch):
    """A device as MPS is: no float64, and integers of 32 random bits."""
    has_float64.cache_clear()
    with SimulatedGpus(count=1, kind="meta", float64=False, bits=32).running(monkeypatch) as gpus:
        yield gpus
    has_float64.cache_clear()


@pytest.mark.usefixtures("mps")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("numpy", [False, True])
def test_a_device_without_float64_is_sampled_in_float32(tmp_path, way, numpy):
    x = INPUTS.double().numpy() if numpy else INPUTS
    table = table_of(smoothed(3, "meta"), tmp_path / "table.tsv", x, **WAYS[way])
    assert (table["predict"] == 3).all()


@pytest.mark.usefixtures("mps")
@pytest.mark.parametrize("kind", ["float64", "lattice"])
def test_what_needs_float64_there_is_refused_or_done_on_the_host(kind):
    if kind == "float64":
        classifier = smoothed(3, "meta", dtype=torch.float64)
        with pytest.raises(ValueError, match=r"dtype=torch.float64 must be torch.float32 on meta"):
            classifier.counts(INPUTS[0], n=10)
    else:
        classifier = smoothed(3, "meta", noise="discrete", lattice=1 / 16)
        x = torch.round(INPUTS[0] * 16) / 16
        assert classifier.certify(x, n=100, seed=0).prediction == 3


def bits_of(words: torch.Tensor) -> np.ndarray:
    numbers = words.numbers.numpy() if hasattr(words, "numbers") else words.numpy()
    return (numbers[:, None] >> np.arange(64)) & 1


@pytest.mark.usefixtures("mps")
def test_words_have_63_fair_bits_where_random_gives_32():
    from rsverify.smoothing.noise.alias import check_bits, fill_words

    check_bits.cache_clear()
    words = torch.empty(20_000, dtype=torch.int64, device="meta")
    counts = bits_of(fill_words(words, torch.Generator(device="meta").manual_seed(1))).sum(axis=0)
    assert counts[63] == 0
    # Of 63 fair bits one is off by six standard deviations with probability 1.3e-7.
    assert (abs(counts[:63] - 10_000) < 6 * np.sqrt(5000)).all()
    check_bits.cache_clear()


@pytest.mark.parametrize("bits", [24, 31, 53, 62])
def test_a_device_whose_words_are_short_is_refused(monkeypatch, bits):
    from rsverify.smoothing.noise.alias import check_bits

    check_bits.cache_clear()
    with SimulatedGpus(bits=bits).running(monkeypatch):
        classifier = smoothed(2, noise="discrete", lattice=1 / 16)
        with pytest.raises(ValueError, match=rf"leaves {63 - bits} of 63 bits always the same"):
            classifier.counts(torch.zeros(5), n=10)
    check_bits.cache_clear()


# Facts.


def changed_facts(name: str, monkeypatch: Any) -> None:
    if name == "torch":
        monkeypatch.setattr(torch, "__version__", "2.4.0")
    elif name == "deterministic":
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    elif name == "cudnn_benchmark":
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    elif name == "cudnn_deterministic":
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    elif name == "cudnn":
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 90100)
    elif name == "cuda":
        monkeypatch.setattr(torch.version, "cuda", "11.8")
    else:
        import copy

        other = copy.copy(torch.cuda.get_device_properties(0))
        field = {"device_name": "name", "capability": "minor"}.get(name, "multi_processor_count")
        value = "Simulated 2" if field == "name" else 8
        setattr(other, field, value)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _=None: other)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    "name",
    [
        "torch",
        "deterministic",
        "cudnn_benchmark",
        "cudnn_deterministic",
        "cudnn",
        "cuda",
        "device_name",
        "capability",
        "threads_at_once",
    ],
)
def test_another_device_or_setting_is_refused_on_resume(monkeypatch, tmp_path, name):
    out = tmp_path / "table.tsv"
    table_of(smoothed(2), out, max_inputs=1, bound="cohen")
    before = out.read_bytes()
    with monkeypatch.context() as patch:
        changed_facts(name, patch)
        with pytest.raises(ValueError, match=rf"{name}=.* must be .* to resume"):
            table_of(smoothed(2), out, bound="cohen")
        assert out.read_bytes() == before
    assert len(table_of(smoothed(2), out, bound="cohen")) == 3


@pytest.mark.parametrize("setting", ["products", "convolutions", "instructions"])
def test_settings_of_a_cpu_are_compared_too(monkeypatch, tmp_path, setting):
    out = tmp_path / "table.tsv"
    classifier = SmoothedClassifier(always(2), CLASSES, 0.5)
    table_of(classifier, out, max_inputs=1, bound="cohen")
    if setting == "instructions":
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "VSX")
    else:
        part = {"products": "matmul", "convolutions": "conv"}[setting]
        backend = getattr(torch.backends.mkldnn, part, None)
        if backend is None:
            pytest.skip("this torch has no such setting")
        before = backend.fp32_precision
        backend.fp32_precision = "bf16"
    try:
        name = "device_name" if setting == "instructions" else "float32_precision"
        with pytest.raises(ValueError, match=rf"{name}=.* must be .* to resume"):
            table_of(classifier, out, bound="cohen")
    finally:
        if setting != "instructions":
            backend.fp32_precision = before


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_facts_can_be_read_after_either_way_of_setting_precision(kind):
    """torch raises where the older setting is read after a newer one was set."""
    device = torch.device(kind, 0) if kind == "cuda" else torch.device("cpu")
    plain = device_facts(device)["float32_precision"]
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        high = device_facts(device)["float32_precision"]
        torch.set_float32_matmul_precision("highest")
        assert device_facts(device)["float32_precision"] == plain
        assert high != plain
        if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
            torch.backends.cuda.matmul.fp32_precision = "tf32"
            newer = device_facts(device)["float32_precision"]
            assert ("products tf32" in newer) == (kind == "cuda")
            torch.backends.cuda.matmul.fp32_precision = "ieee"
    finally:
        if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
            torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.set_float32_matmul_precision(before)


# Programs.


def test_an_exported_program_makes_its_tensors_where_it_is_put():
    from rsverify.smoothing.models.load import _exported

    class Makes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(3, 4)

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            shift = torch.arange(4, device=batch.device) + torch.zeros(4, device="cpu")
            return self.line(batch) + shift + torch.ones(4).to(batch.device)

    rows = torch.export.Dim("rows", min=1, max=64)
    program = torch.export.export(Makes().eval(), (torch.zeros(2, 3),), dynamic_shapes=({0: rows},))
    module = _exported(program, "meta")
    assert module(torch.zeros(5, 3, device="meta")).device.type == "meta"


# Time.


def test_events_do_not_slow_a_cpu_down():
    """Contexts of a CPU are free: sampling there has no events."""
    context = DeviceContext(torch.device("cpu"))
    started = time.perf_counter()
    for _ in range(1000):
        with context.active():
            context.fetch(torch.zeros(4)).numpy()
    assert time.perf_counter() - started < 1.0
