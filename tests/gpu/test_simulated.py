"""The acceptance script's ways on a GPU, on simulated ones: a CPU alone would never take them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from support.simulated_gpu import SimulatedGpus  # noqa: E402

from rsverify.smoothing.device import DeviceContext  # noqa: E402

FOLDER = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def acceptance():
    sys.path.insert(0, FOLDER)
    try:
        import acceptance as module

        yield module
    finally:
        sys.path.remove(FOLDER)


@pytest.fixture
def bench(acceptance, monkeypatch, tmp_path):
    with SimulatedGpus().running(monkeypatch) as gpus:
        monkeypatch.setattr(
            torch._C, "_cuda_hasPrimaryContext", lambda i: i in gpus.contexts, raising=False
        )
        yield acceptance.Bench(torch.device("cuda", 1), True, tmp_path)


CHECKS = ["late votes", "equal bytes", "a row alone", "bits", "one-line errors"]
CHECKS += [pytest.param("waits", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_passes_on_a_simulated_gpu(acceptance, bench, name):
    assert acceptance.CHECKS[name](bench)
    assert acceptance.CHECKS["contexts"](bench) == {"others": [0]}


def test_memory_is_found_by_halving(acceptance, bench, monkeypatch):
    # The real sizes without the memory: what is beside an input is only said to be that large.
    monkeypatch.setattr(torch.Tensor, "fill_", lambda self, _: self)
    assert acceptance.out_of_memory(bench) == {"from": 1024, "to": 64}


def recorded_elsewhere(_self: Any, values: torch.Tensor) -> Any:
    from rsverify.smoothing.device import Arriving

    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(0))
    return Arriving(host, event)


def test_late_votes_fail_the_script(acceptance, bench, monkeypatch):
    monkeypatch.setattr(DeviceContext, "fetch", recorded_elsewhere)
    with pytest.raises(AssertionError):
        acceptance.late_votes(bench)


@pytest.mark.slow
def test_waits_for_every_batch_fail_the_script(acceptance, bench, monkeypatch):
    real = DeviceContext.fetch

    def waiting(self: DeviceContext, values: torch.Tensor) -> Any:
        torch.cuda.synchronize(values.device)
        return real(self, values)

    monkeypatch.setattr(DeviceContext, "fetch", waiting)
    with pytest.raises(AssertionError, match="waits for 8 and 79 batches an input"):
        acceptance.waits(bench)


def test_a_context_elsewhere_fails_the_script(acceptance, bench):
    torch.zeros(1, device="cuda:0")
    with pytest.raises(AssertionError, match=r"contexts on \[0\]"):
        acceptance.contexts(bench)
