"""GPUs simulated on a CPU: tensors that say they are there, and numbers that come late.

What a test sees of a GPU, and a CPU never shows: a copy to the host that does not wait delivers
its numbers only when an event is waited for that was recorded after it, on the same stream.
Until then the host reads what was in the memory before, here zeros. Kernels themselves are run at
once, which within one stream makes no difference. Waits of the host, pinned and pageable copies,
and the GPUs on which contexts come into being are counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map, tree_map_only

aten = torch.ops.aten
MEMORY = 2**37


class OnGpu(torch.Tensor):
    """A tensor on a simulated device; its numbers are in a tensor on the CPU."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor, device: torch.device) -> OnGpu:
        made = torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, strides=numbers.stride(), dtype=numbers.dtype, device=device
        )
        made.numbers = numbers
        return made

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.numbers!r}, device={self.device})"

    # These ask a guard of the device, which a torch without CUDA has not.
    def __getitem__(self, index: Any) -> OnGpu:
        return OnGpu(self.numbers[tree_map_only(OnGpu, lambda t: t.numbers, index)], self.device)

    def __setitem__(self, index: Any, value: Any) -> None:
        index, value = tree_map_only(OnGpu, lambda t: t.numbers, (index, value))
        self.numbers[index] = value

    def __invert__(self) -> Any:
        return torch.bitwise_not(self)

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        return ACTIVE[-1].run(aten.copy_.default, (self, source, non_blocking), {})

    def tolist(self) -> Any:
        ACTIVE[-1]._wait(self.device)
        return self.numbers.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return ACTIVE[-1].run(func, args, kwargs or {})


class Stream:
    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.queue: list[Callable[[], None]] = []
        self.done = 0

    def deliver(self, until: int) -> None:
        while self.done < until:
            self.queue[self.done]()
            self.done += 1


class _Mode(TorchDispatchMode):
    def __init__(self, gpus: SimulatedGpus) -> None:
        super().__init__()
        self.gpus = gpus

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.gpus.run(func, args, kwargs or {})


ACTIVE: list[SimulatedGpus] = []


class SimulatedGpus:
    """The state of all simulated devices.

    Parameters
    ----------
    count : int
        How many GPUs there are.
    kind : str
        Their type: ``"cuda"``; or ``"meta"``, for an accelerator of another kind, as it is the
        only other one that a torch for CPUs lets tensors say that they are on.
    float64 : bool
        Whether they know it.
    bits : int
        How many bits ``random_()`` fills an int64 with.
    """

    def __init__(
        self, count: int = 2, kind: str = "cuda", float64: bool = True, bits: int = 63
    ) -> None:
        self.count, self.kind, self.float64, self.bits = count, kind, float64, bits
        self.current = 0
        self.streams = [Stream(torch.device(kind, i)) for i in range(count)]
        self.waits = 0  # for all that a device was given
        self.event_waits = 0
        self.pageable_copies = 0
        self.emptied = 0
        self.warn = False
        self.fraction = 1.0
        self.contexts: set[int] = set()
        self.pinned: dict[int, torch.Tensor] = {}
        self.made: list[tuple[str, tuple[int, ...]]] = []  # operators and shapes of results

    # What torch's operators do.

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        with torch.utils._python_dispatch._disable_current_modes():
            return self._run(func, args, dict(kwargs))

    def _run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        flat = torch.utils._pytree.tree_leaves((args, kwargs))
        here = next((a.device for a in flat if isinstance(a, OnGpu)), None)
        if func in (aten.copy_.default, aten._to_copy.default):
            found = self._copy(func, args, kwargs)
            if found is not None:
                return found
        wanted = kwargs.get("device")
        if wanted is not None and torch.device(wanted).type == self.kind:
            index = torch.device(wanted).index
            here = self._place(index)
            kwargs["device"] = torch.device("cpu")
        if kwargs.pop("pin_memory", False):
            self.contexts.add(self.current)
            made = func(*args, **kwargs).zero_()
            self.pinned[made.data_ptr()] = made
            return made
        if here is None:
            return func(*args, **kwargs)
        self.contexts.add(here.index or 0)
        if func is aten._local_scalar_dense.default:
            self._wait(here)
        return self._kernel(func, args, kwargs, here)

    def _place(self, index: int | None) -> torch.device:
        if self.kind == "meta":  # it has no index
            return torch.device("meta")
        return torch.device(self.kind, self.current if index is None else index)

    def _kernel(self, func: Any, args: Any, kwargs: dict[str, Any], here: torch.device) -> Any:
        args, kwargs = tree_map_only(OnGpu, lambda t: t.numbers, (args, kwargs))
        if func is aten.random_.default and self.bits < 63:
            made = args[0].random_(0, 2**self.bits, **kwargs)
        else:
            made = func(*args, **kwargs)

        def wrapped(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            if value.dtype == torch.float64 and not self.float64:
                raise TypeError(f"Cannot convert a {here.type} Tensor to float64 dtype")
            self.made.append((str(func), tuple(value.shape)))
            if value.numel() * value.element_size() > self.fraction * MEMORY:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate more.")
            return OnGpu(value, here)

        return tree_map(wrapped, made)

    def _copy(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any | None:
        """Copy between host and device, late where it does not wait; None for all else."""
        if func is aten.copy_.default:
            into, source = args[0], args[1]
            late = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
            if isinstance(source, OnGpu) and not isinstance(into, OnGpu):
                self._bring(into, source, late)
                return into
            if isinstance(into, OnGpu) and not isinstance(source, OnGpu):
                self._take(source, late, into.device)
                into.numbers.copy_(source)
                return into
            return None
        source, device = args[0], kwargs.get("device")
        if device is None:
            return None
        device = torch.device(device)
        late = kwargs.pop("non_blocking", False)
        rest = {k: v for k, v in kwargs.items() if k not in ("device", "pin_memory")}
        if isinstance(source, OnGpu) and device.type == "cpu":
            host = torch.zeros_like(source.numbers)
            self._bring(host, source, late)
            return func(host, **rest)
        if device.type == self.kind:
            to = self._place(device.index)
            if not isinstance(source, OnGpu):
                self._take(source, late, to)
                self.contexts.add(to.index or 0)
                moved = func(source, **rest)
            else:
                moved = func(source.numbers, **rest)
            if moved.dtype == torch.float64 and not self.float64:
                raise TypeError(f"Cannot convert a {to.type} Tensor to float64 dtype")
            return OnGpu(moved, to)
        return None

    def _bring(self, into: torch.Tensor, source: OnGpu, late: bool) -> None:
        numbers = source.numbers.clone()
        stream = self._stream_of(source.device)
        stream.queue.append(lambda: into.copy_(numbers))
        if not (late and into.data_ptr() in self.pinned):
            self._wait(source.device)

    def _take(self, source: torch.Tensor, late: bool, device: torch.device) -> None:
        if not (late and source.data_ptr() in self.pinned):
            self.pageable_copies += 1
            self._wait(device)

    def _wait(self, device: torch.device) -> None:
        self.waits += 1
        if self.warn:
            warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=2)
        stream = self._stream_of(device)
        stream.deliver(len(stream.queue))

    def _stream_of(self, device: torch.device) -> Stream:
        return self.streams[device.index or 0]

    # What torch.cuda does.

    def index(self, device: Any) -> int:
        if device is None:
            return self.current
        if isinstance(device, int):
            return device
        index = torch.device(device).index
        return self.current if index is None else index

    @contextmanager
    def device(self, device: Any) -> Iterator[None]:
        before, self.current = self.current, self.index(device)
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        """Leaving sets the GPU that was current before, and so makes a context there."""
        before, device = self.streams[stream.device.index], self.current
        self.current = stream.device.index
        self.streams[stream.device.index] = stream
        try:
            yield
        finally:
            self.streams[stream.device.index] = before
            self.current = device
            self.contexts.add(device)

    def install(self, monkeypatch: Any) -> None:
        gpus = self

        class Event:
            def __init__(self, **_: Any) -> None:
                gpus.contexts.add(gpus.current)
                self.at: tuple[Stream, int] | None = None

            def record(self, stream: Stream | None = None) -> None:
                stream = gpus.streams[gpus.current] if stream is None else stream
                self.at = (stream, len(stream.queue))

            @property
            def device(self) -> torch.device:
                assert self.at is not None
                return self.at[0].device

            def synchronize(self) -> None:
                gpus.event_waits += 1
                if self.at is not None:
                    self.at[0].deliver(self.at[1])

        def new_stream(device: Any = None) -> Stream:
            return Stream(torch.device(gpus.kind, gpus.index(device)))

        properties = SimpleNamespace(
            name="Simulated 1",
            major=9,
            minor=0,
            multi_processor_count=132,
            max_threads_per_multi_processor=2048,
            total_memory=MEMORY,
        )
        patched = {
            "_lazy_init": lambda: None,
            "is_available": lambda: gpus.kind == "cuda",
            "device_count": lambda: gpus.count if gpus.kind == "cuda" else 0,
            "current_device": lambda: gpus.current,
            "set_device": lambda device: setattr(gpus, "current", gpus.index(device)),
            "device": gpus.device,
            "stream": gpus.stream,
            "Stream": new_stream,
            "Event": Event,
            "current_stream": lambda device=None: gpus.streams[gpus.index(device)],
            "synchronize": lambda device=None: gpus._wait(
                torch.device(gpus.kind, gpus.index(device))
            ),
            "_sleep": lambda _cycles: None,
            "set_sync_debug_mode": lambda mode: setattr(gpus, "warn", mode == "warn"),
            "memory_reserved": lambda _=None: 0,
            "set_per_process_memory_fraction": lambda share, _: setattr(gpus, "fraction", share),
            "empty_cache": lambda: setattr(gpus, "emptied", gpus.emptied + 1),
            "get_device_properties": lambda _=None: properties,
        }
        for name, value in patched.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch, "Generator", _generator(gpus.kind))

    @contextmanager
    def running(self, monkeypatch: Any) -> Iterator[SimulatedGpus]:
        self.install(monkeypatch)
        ACTIVE.append(self)
        before = torch._C._only_lift_cpu_tensors()
        # Then torch.tensor makes its result on the CPU and moves it, as for torch's fake tensors.
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            with _Mode(self):
                yield self
        finally:
            torch._C._set_only_lift_cpu_tensors(before)
            ACTIVE.pop()


_Generator = torch.Generator


def _generator(kind: str) -> Any:
    """Return a class of generators, of which those for a GPU are on the CPU and do not say so."""

    class Generator(_Generator):
        place: torch.device

        def __new__(cls, device: Any = "cpu") -> Any:
            if torch.device(device).type != kind:
                return _Generator(device)
            made = super().__new__(cls)
            made.place = torch.device(device)
            return made

        @property
        def device(self) -> torch.device:  # type: ignore[override]
            return self.place

    return Generator
