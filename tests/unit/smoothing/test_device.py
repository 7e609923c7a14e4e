"""Which device is chosen, what is refused there, and which facts of it a table keeps."""

from __future__ import annotations

import time
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from support.one_class import CLASSES, always, smoothed, table_of  # noqa: E402

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.device import DeviceContext, choose_device, device_facts  # noqa: E402


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
