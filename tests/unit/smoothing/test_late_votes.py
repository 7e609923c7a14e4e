"""No vote is read before it is there, on GPUs simulated on the CPU whose copies come late."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from support.one_class import CLASSES, INPUTS, WAYS, always, smoothed, table_of  # noqa: E402
from support.simulated_gpu import SimulatedGpus  # noqa: E402

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing import device as devices  # noqa: E402
from rsverify.smoothing.device import DeviceContext  # noqa: E402


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
    from rsverify.certificates.parts import evidence_of
    from rsverify.smoothing.batches import CleanInput
    from rsverify.smoothing.device import DeviceContext
    from rsverify.smoothing.request import Request
    from rsverify.smoothing.sampling.job import Job, Scheduler

    classifier = smoothed(2, "cuda:0")
    request = Request(n0=20, n=200, bound="cohen")
    jobs = []
    for x in INPUTS:
        center, model = classifier.center(x)
        source = CleanInput(classifier.noise, center)
        question = request.question(classifier.noise, None)
        jobs.append(Job(CLASSES, 20, 200, question, sources=(source, source, source)))
    batch = torch.empty((32, 5), device="cuda:0")
    made = list[Any]()
    scheduler = Scheduler(
        jobs,
        lambda b: model(b).argmax(dim=1),
        batch,
        evaluating=DeviceContext(batch.device).active,
        in_flight=4,
    )
    for done, _ in scheduler.run():
        made += done
        assert gpus.current in (0, 1)
        torch.cuda.set_device(1)
        gpus.streams[0] = torch.cuda.Stream("cuda:0")
    assert [job.stated(evidence_of(job.counts)).prediction for job in made] == [2, 2, 2]
    assert gpus.current == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("unprobed")
def test_waits_for_the_device_do_not_grow_with_batches(monkeypatch, tmp_path, way):
    """Events of single batches aside, which let the device go on."""
    waits = {}
    for n in (100, 1200):
        with SimulatedGpus().running(monkeypatch) as gpus:
            table_of(smoothed(2), tmp_path / f"{n}.tsv", n=n, **WAYS[way])
            waits[n] = gpus.waits
    assert waits[100] == waits[1200]


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
@pytest.mark.usefixtures("unprobed")
def test_a_bound_of_scores_evaluates_one_row_for_its_clean_vote(
    monkeypatch, tmp_path, device, n, n0, batch
):
    options = {"bound": "hoeffding", "radius": "R1", "n": n, "n0": n0, "batch_size": batch}
    rows = []
    for inputs in (2, 4):  # trying and probing the model take the same for both
        batches: list[int] = []
        with SimulatedGpus().running(monkeypatch):
            classifier = SmoothedClassifier(always(2, batches), CLASSES, 0.5, device=device)
            table_of(classifier, tmp_path / f"{inputs}.tsv", torch.rand(inputs, 5), **options)
        rows.append(sum(batches))
    assert rows[1] - rows[0] == 2 * (n + n0 + 1)


def test_a_table_of_a_simulated_gpu_is_that_of_the_cpu(monkeypatch, tmp_path):
    """The simulation draws noise as the CPU does; so all else must give the same bytes."""
    torch.manual_seed(0)
    weights = torch.randn(5, CLASSES)

    def net(batch):
        return batch @ weights.to(batch.device)

    for name, options in WAYS.items():
        out = tmp_path / f"{name}.tsv"
        table_of(SmoothedClassifier(net, CLASSES, 0.5), out, **options)
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
