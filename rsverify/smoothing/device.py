"""One owner of all that depends on the device: placement, streams, events, copies, memory, facts.

CUDA runs what it is given in the order of a stream and long after the call has returned. Three
things follow that nothing else in the package has to know. Numbers copied to the host without
waiting are there once an event is, which must be recorded after the copy and on the *same*
stream: that of the device the numbers are on, which need not be the current one. Events, pinned
memory and streams are made on the current device, the first GPU unless somebody sets it, where
each process would then hold a context of some hundred megabytes. And a copy from memory that is
not pinned waits for the stream.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch

from rsverify._core.check import shown
from rsverify._core.optional import DeviceNotFoundError
from rsverify._core.types import AnyArray

_OutOfMemory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)

# What libraries say that have no memory left, in small letters: torch's allocators (CUDA, HIP,
# XPU, MPS, CPU), cuBLAS, cuDNN, cuFFT, cuSOLVER, MIOpen and rocBLAS, drivers, and runtimes of
# other formats. cuDNN and MIOpen also find no algorithm where none fits into the memory that is
# left, and cuBLAS cannot be set up.
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
    "allocation_failed",
    "allocfailed",
    "outofmemory",
    "out_of_memory",
    "out_of_device_memory",
    "out_of_host_memory",
    "out_of_resources",
    "memoryallocation",
    "memory_error",
    "failed to allocate memory",
    "unable to allocate",
    "oom when allocating",
    "bfcarena",
    "could not create a memory object",
    "cublas_status_not_initialized",
    "bad allocation",
    "bad_alloc",
    "resource_exhausted",
    "invalid buffer size",
    "cudnn_status_not_supported",
    "unable to find an engine",
    "unable to find a valid cudnn algorithm",
)
# What they say of tensors that are too large to be indexed or launched.
_TOO_LARGE = (
    "canuse32bitindexmath",
    "32-bit index",
    "int_max",
    "invalid configuration argument",
    "integer out of range",
    "ndarray > 2**32",
)

# Kernels index by 32 bits.
_MOST_NUMBERS = 2**31 - 1
# The widest layer of common image classifiers holds 5 (ResNet) to 21 (VGG) times the numbers of
# an input, and must be indexed too.
_WIDEST_LAYER = 32
_CPU_BATCH = 64
_DEVICE_BATCH = 4096


def choose_device(wanted: torch.device | str) -> torch.device:
    """Return the device that `wanted` names, with its index, or raise where it is not there.

    Parameters
    ----------
    wanted : torch.device or str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, …; or ``"auto"``: a GPU if there is one,
        else the CPU. Without an index, ``"cuda"`` is the GPU of ``LOCAL_RANK`` in a process that
        torchrun has started, and the current one elsewhere.

    Raises
    ------
    DeviceNotFoundError
        If this machine has no such device, or fewer GPUs than processes.
    ValueError
        If `wanted` does not name a device.

    Examples
    --------
    >>> from rsverify.smoothing.device import choose_device
    >>> choose_device("cpu")
    device(type='cpu')
    """
    if not isinstance(wanted, torch.device | str):
        raise TypeError(f"device={shown(wanted)} must be 'auto' or one such as 'cpu', 'cuda:1'")
    if wanted == "auto":
        wanted = next((kind for kind in ("cuda", "xpu", "mps") if _available(kind)), "cpu")
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(
            f"device={wanted!r} must be 'auto' or one such as 'cpu', 'cuda:1'"
        ) from None
    if device.type == "cuda":
        return _choose_gpu(device)
    if device.type in ("mps", "xpu") and not _available(device.type):
        raise DeviceNotFoundError(
            f"device={str(device)!r} must be on this machine: torch {torch.__version__} finds "
            "none; use 'cpu' or 'auto'"
        )
    if device.type == "xpu" and device.index is None:
        return torch.device("xpu", torch.xpu.current_device())
    if device.type not in ("cpu", "mps", "xpu"):
        _check_holds_numbers(device)
    return device


def _check_holds_numbers(device: torch.device) -> None:
    """Raise where a device of a kind that is not known here takes no numbers or gives none back."""
    try:
        torch.zeros(1, device=device).cpu()
    except Exception as error:  # of many kinds: backends that are not built, not there, or empty
        raise DeviceNotFoundError(
            f"device={str(device)!r} must be on this machine and hold numbers: torch "
            f"{torch.__version__} finds that it does not ({type(error).__name__}); use 'cpu' or "
            "'auto'"
        ) from None


def _choose_gpu(device: torch.device) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise DeviceNotFoundError(
            f"device={str(device)!r} must be on this machine: torch {torch.__version__} finds no "
            "GPU; use 'cpu' or 'auto'"
        )
    if device.index is not None:
        if device.index >= count:
            raise DeviceNotFoundError(
                f"device={str(device)!r} must be one of the {count} GPUs of this machine, from "
                f"cuda:0 to cuda:{count - 1}"
            )
        return device
    rank = os.environ.get("LOCAL_RANK")
    if rank is None:
        return torch.device("cuda", torch.cuda.current_device())
    if not rank.isdecimal() or int(rank) >= count:
        raise DeviceNotFoundError(
            f"LOCAL_RANK={rank} must be below {count}, the number of GPUs of this machine: start "
            f"at most {count} processes, or name one GPU for all, such as cuda:0"
        )
    return torch.device("cuda", int(rank))


def _available(kind: str) -> bool:
    if kind == "mps":
        return bool(torch.backends.mps.is_available())
    backend = getattr(torch, kind, None)
    return backend is not None and bool(backend.is_available())


def check_placement(model: object, device: torch.device) -> None:
    """Raise where a module's weights are not all on `device`."""
    if not isinstance(model, torch.nn.Module):
        return
    wanted = torch.empty(0, device=device).device  # that of MPS has an index once it is used
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.device != wanted:
            raise ValueError(
                f"device={str(wanted)!r} must be where the model is, and {name} is on "
                f"{tensor.device}: move the model, or leave device out"
            )


@lru_cache(maxsize=16)
def has_float64(device: torch.device) -> bool:
    """Return whether a device computes in float64: MPS and some GPUs do not."""
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.ones(1, device=device, dtype=torch.float64).add_(1.0)
    except (TypeError, RuntimeError) as error:
        if exhausted(error) is not None:
            raise
        return False
    return True


def scores_on(device: torch.device, numbers: AnyArray) -> torch.Tensor:
    """Return what a model outside of torch has computed, on `device`, in float32 if it must be."""
    scores = torch.tensor(numbers, device="cpu")
    if scores.dtype == torch.float64 and not has_float64(device):
        scores = scores.float()
    return scores.to(device)


class Arriving:
    """Numbers on their way to the host. What is queued on the device after them goes on."""

    def __init__(self, host: torch.Tensor, event: torch.cuda.Event | None) -> None:
        self._host, self._event = host, event

    def numpy(self) -> AnyArray:
        """Return the numbers, once they are here."""
        if self._event is not None:
            self._event.synchronize()
        return np.asarray(self._host.numpy())


class DeviceContext:
    """A device, and the stream that is current on it when this is made.

    Parameters
    ----------
    device : torch.device
        Where to compute.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = choose_device(device)
        self._stream = (
            torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None
        )

    @property
    def asynchronous(self) -> bool:
        """Whether the host may go on while the device computes."""
        return self.device.type != "cpu"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the device and its stream the current ones in the body.

        The device first: leaving a stream's context by itself would set the GPU that was
        current before, and thereby make a context there.
        """
        if self._stream is not None:
            with torch.cuda.device(self.device), torch.cuda.stream(self._stream):
                yield
        elif self.device.type == "xpu":
            with torch.xpu.device(self.device):
                yield
        else:
            yield

    def send(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` on the device; the host does not wait for what is queued there."""
        if self._stream is None or x.device.type != "cpu":
            return x.to(self.device)
        with self.active():
            pinned = torch.empty(x.shape, dtype=x.dtype, pin_memory=True, device="cpu")
            # The allocator keeps pinned memory until the copy is done.
            return pinned.copy_(x).to(self.device, non_blocking=True)

    def fetch(self, values: torch.Tensor) -> Arriving:
        """Begin to copy `values` to the host, after all that is queued before."""
        device = values.device
        if device.type != "cuda":
            return Arriving(values.detach().cpu(), None)
        with torch.cuda.device(device):
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True, device="cpu")
            host.copy_(values, non_blocking=True)
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(device))
        return Arriving(host, event)

    def release_memory(self) -> None:
        """Give back what torch keeps of the device's memory for later."""
        with self.active():
            backend: object = getattr(torch, self.device.type, None)
            if self.asynchronous and hasattr(backend, "empty_cache"):
                backend.empty_cache()


def exhausted(error: BaseException) -> str | None:
    """Return what there was too little of where fewer inputs at once may do, else None.

    An error counts as well where it wraps such a one, as those of compilers do.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        if reason := _exhausted(found):
            return reason
        waiting += [found.__cause__, getattr(found, "inner_exception", None)]
        if not found.__suppress_context__:
            waiting.append(found.__context__)
    return None


def _exhausted(error: BaseException) -> str | None:
    if isinstance(error, _OutOfMemory | MemoryError):
        return "out of memory"
    if not isinstance(error, Exception) or isinstance(error, ValueError | TypeError | Warning):
        return None
    if isinstance(error, OSError):
        return "out of memory" if error.errno == errno.ENOMEM else None
    text = str(error).lower()
    if any(sign in text for sign in _NO_MEMORY):
        return "out of memory"
    return "beyond what kernels index" if any(sign in text for sign in _TOO_LARGE) else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that there was too little memory, or too large a tensor."""
    return exhausted(error) is not None


def first_batch_size(device: torch.device, shape: Sequence[int]) -> int:
    """Return the batch size to try first: what fits into caches on a CPU, into memory elsewhere.

    Elsewhere it is halved until layers of 32 times the numbers of an input can be indexed too.
    """
    if device.type == "cpu":
        return _CPU_BATCH
    size = _DEVICE_BATCH
    while size > 1 and size * math.prod(shape) * _WIDEST_LAYER > _MOST_NUMBERS:
        size //= 2
    return size


def indexable_batch_size(wanted: int, device: torch.device, shape: Sequence[int]) -> int:
    """Return `wanted`, halved until a batch of inputs of this shape can be indexed."""
    while device.type != "cpu" and wanted > 1 and wanted * math.prod(shape) > _MOST_NUMBERS:
        wanted = (wanted + 1) // 2
    return wanted


Facts = dict[str, str | int | bool | None]


def device_facts(device: torch.device) -> Facts:
    """Return what can change the last digits of scores, or the noise: of device and settings.

    The noise of a seed depends on the model of a GPU, since torch spreads one stream of random
    numbers over as many threads as the GPU holds at a time, and on the instructions of a CPU,
    which compute logarithms and cosines differently.
    """
    facts: Facts = {
        "device": device.type,
        "torch": torch.__version__,
        "float32_precision": _float32_precision(device.type),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if device.type == "cpu":
        return facts | {"device_name": torch.backends.cpu.get_cpu_capability()}
    if device.type != "cuda":
        return facts | {"device_name": device.type}
    properties = torch.cuda.get_device_properties(device)
    driver = getattr(torch._C, "_cuda_getDriverVersion", None)
    return facts | {
        "device_name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "threads_at_once": (
            properties.multi_processor_count * properties.max_threads_per_multi_processor
        ),
        "driver": None if driver is None else driver(),
        "cuda": torch.version.cuda or torch.version.hip,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_enabled": torch.backends.cudnn.enabled,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "reduced_precision_sums": _reduced_sums(),
    }


def _float32_precision(kind: str) -> str:
    """Return how float32 is computed: TF32, bfloat16 or as it is, for products and convolutions."""
    backends = torch.backends
    others = backends.cudnn if kind == "cuda" else backends.mkldnn
    if not hasattr(others, "conv"):  # torch before 2.9
        tf32 = getattr(others, "allow_tf32", False)
        return f"products {torch.get_float32_matmul_precision()}, convolutions TF32 {tf32}"
    # The settings from before cannot be read once one of these was set.
    matmul = backends.cuda.matmul if kind == "cuda" else others.matmul
    parts = {"products": matmul, "convolutions": others.conv, "recurrent": others.rnn}
    chosen = {name: str(part.fp32_precision) for name, part in parts.items()}
    return ", ".join(f"{name} {'ieee' if p == 'none' else p}" for name, p in chosen.items())


def _reduced_sums() -> str:
    """Return whether products in half precision may be summed in it."""
    matmul = torch.backends.cuda.matmul
    names = ("fp16", "bf16")
    return ", ".join(
        f"{name} {getattr(matmul, f'allow_{name}_reduced_precision_reduction')}" for name in names
    )
