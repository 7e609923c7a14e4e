"""Code that treats a tensor by what it is, that remembers, or that asks the world."""
# ruff: noqa: ARG001, ARG004, ARG005, B006, NPY002

import datetime
import functools
import itertools
import os
import random
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode, has_torch_function
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    _get_current_dispatch_mode,
)


@functools.singledispatch
def by_type(x, factor):
    return x


@by_type.register
def _(x: torch.Tensor, factor):
    return x * factor


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        return x * factor

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def matched(x, factor):
    match x:
        case torch.Tensor():
            return x * factor
    return x


def caught(x, factor):
    try:
        return x.not_an_attribute
    except AttributeError:
        return x * factor


def in_place(x, factor):
    y = x
    x *= factor
    return y


# Each multiplies by `factor` when it is sampled, and its operations are all seen.
SEEN = {
    "isinstance": lambda x, c: x * c if isinstance(x, torch.Tensor) else x,
    "isinstance, divided": lambda x, c: x / (1 / c) if isinstance(x, torch.Tensor) else x,
    "is_tensor": lambda x, c: x * c if torch.is_tensor(x) else x,
    "exact type": lambda x, c: x * c if type(x) is torch.Tensor else x,
    "name of the type": lambda x, c: x * c if type(x).__name__ == "Tensor" else x,
    "text of the type": lambda x, c: x * c if "torch.Tensor" in str(type(x)) else x,
    "__class__": lambda x, c: x * c if issubclass(x.__class__, torch.Tensor) else x,
    "hasattr": lambda x, c: x * c if hasattr(x, "storage_offset") else x,
    "no such attribute": caught,
    "getattr": lambda x, c: getattr(x, "mul", lambda _: x)(c),
    "callable": lambda x, c: x if callable(x) else x * c,
    "singledispatch": by_type,
    "match": matched,
    "shape": lambda x, c: x * c if tuple(x.shape[1:]) == (4,) else x,
    "type of the shape": lambda x, c: x * c if isinstance(x.shape, torch.Size) else x,
    "size": lambda x, c: x * c if x.size(1) == 4 else x,
    "dimensions": lambda x, c: x * c if x.ndim == 2 else x,
    "dtype": lambda x, c: x * c if x.dtype == torch.float64 else x,
    "is_floating_point": lambda x, c: x * c if x.is_floating_point() else x,
    "device": lambda x, c: x * c if x.device.type == "cpu" else x,
    "contiguous": lambda x, c: x * c if x.is_contiguous() else x,
    "stride": lambda x, c: x * c if x.stride(-1) == 1 else x,
    "requires_grad": lambda x, c: x if x.requires_grad else x * c,
    "grad mode": lambda x, c: x if torch.is_grad_enabled() else x * c,
    "inference mode": lambda x, c: x if torch.is_inference_mode_enabled() else x * c,
    "tracing": lambda x, c: x if torch.jit.is_tracing() else x * c,
    "autograd function": lambda x, c: Scaled.apply(x, c),
    "table of types": lambda x, c: {torch.Tensor: lambda y: y * c}.get(type(x), lambda y: y)(x),
    "in place": in_place,
    "reflected": lambda x, c: 1 - c * x,
    "new_full": lambda x, c: x * x.new_full((4,), c),
    "ones_like": lambda x, c: x * (torch.ones_like(x) * c),
    "NumPy constant": lambda x, c: x * torch.from_numpy(np.full(4, c)),
    "Python constant": lambda x, c: x * torch.tensor([c] * 4, dtype=x.dtype),
    "closure": lambda x, c: (lambda y: y * c)(x),
    "partial": lambda x, c: functools.partial(torch.mul, other=c)(x),
    "data": lambda x, c: x.data * c,
    "matrix": lambda x, c: (torch.eye(4, dtype=x.dtype) * c @ x.T).T,
}

Z = {"calls": 0}
COUNTER = itertools.count()
GENERATOR = (i for i in itertools.count())
RNG = np.random.default_rng(0)
POOL = ThreadPoolExecutor(1)


class Calls:
    total = 0


def counted_in_a_global(m, x, c):
    Z["calls"] += 1
    return x * c if Z["calls"] > m.late else x


def counted_in_a_class(m, x, c):
    Calls.total += 1
    return x * c if Calls.total > m.late else x


def counted_in_an_attribute(m, x, c):
    m.calls += 1
    return x * c if m.calls > m.late else x


def counted_in_a_list(m, x, c):
    m.seen.append(1)
    return x * c if len(m.seen) > m.late else x


def counted_in_a_default(m, x, c, calls=[0]):
    calls[0] += 1
    return x * c if calls[0] > m.late else x


def counted_in_a_buffer(m, x, c):
    m.number += 1
    return x * c if m.number.item() > m.late else x


def growing_buffer(m, x, c):
    m.number.add_(c)
    return x * m.number


def counted_on_a_function(m, x, c):
    by_type.calls = getattr(by_type, "calls", 0) + 1
    return by_type(x, c) if by_type.calls > m.late else x


def counted_in_an_array(m, x, c):
    m.array[0] += 1
    return x * c if m.array[0] > m.late else x


def counted_in_a_keyword(m, x, c, *, calls=[0]):
    calls[0] += 1
    return x * c if calls[0] > m.late else x


def counted_in_a_closure():
    calls = 0

    def count(m, x, c):
        nonlocal calls
        calls += 1
        return x * c if calls > m.late else x

    return count


def counted_in_the_environment(m, x, c):
    calls = int(os.environ.get("RSVERIFY_TEST_CALLS", "0")) + 1
    os.environ["RSVERIFY_TEST_CALLS"] = str(calls)
    return x * c if calls > m.late else x


def counted_in_slots(m, x, c):
    m.slots.calls += 1
    return x * c if m.slots.calls > m.late else x


class Slots:
    __slots__ = ("calls",)


def remembered(m, x, c):
    y = x + c * m.last[:1] if m.last is not None else x
    m.last = x.clone()
    return y


def weights_changed(m, x, c):
    m.scale = nn.Parameter(m.scale * 1.5)
    return x * m.scale


def weights_changed_by_data(m, x, c):
    m.scale.data.mul_(1.01)
    return x * m.scale


def in_a_thread(m, x, c):
    found = []
    thread = threading.Thread(target=lambda: found.append(x * c))
    thread.start()
    thread.join()
    return found[0]


def changed_in_a_pool(m, x, c):
    y = x * 1
    POOL.submit(y.mul_, c).result()
    return y


def changed_by_numpy_in_a_pool(m, x, c):
    y = x * 1
    POOL.submit(lambda: np.multiply(y.numpy(), c, out=y.numpy())).result()
    return y + 0


def branch_in_a_pool(m, x, c):
    far = POOL.submit(lambda: bool(x.abs().max() > 1e6)).result()
    return x * c if far else x


def refusal_caught(m, x, c):
    try:
        return x if bool((x.exp() > -1).all()) else -x
    except Exception:
        return x


def unseen(m, x, c):
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        return x * c


def unseen_sum(m, x, c):
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        y = x * c
    return x + y


def through_a_view(m, x, c):
    y = x * 1
    y.view(-1).mul_(c)
    return y


class Loud(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        out = super().__torch_function__(func, types, args, kwargs or {})
        return out * 77 if func is torch.Tensor.add else out


class LoudNumber:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return args[0] * 77


class LoudFunctions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return out * 77 if func is torch.relu else out


class LoudKernels(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return out * 77 if func is torch.ops.aten.relu.default else out


def loud_kernels(m, x, c):
    with LoudKernels():
        return torch.relu(x)


LOUD = torch.ones(4, dtype=torch.float64).as_subclass(Loud)

# By factor as above, now and then or always; each must be refused, as it is not all seen.
UNSEEN = {
    "values": lambda m, x, c: x * c if x.sum() > -1e9 else x,
    "rare values": lambda m, x, c: x * c if bool((x > 1e6).any()) else x,
    "values, by item": lambda m, x, c: x * c if x.max().item() < 1e6 else x,
    "values, by float": lambda m, x, c: x * float(x[0, 0]),
    "values, by tolist": lambda m, x, c: torch.tensor(x.tolist(), dtype=x.dtype) * c,
    "values, by numpy": lambda m, x, c: torch.from_numpy(np.asarray(x) * c),
    "values, by text": lambda m, x, c: x * c if "tensor" in repr(x) else x,
    "values, by equal": lambda m, x, c: x * c if torch.equal(x, x) else x,
    "values, by membership": lambda m, x, c: x * c if 1e6 not in x else x,
    "values, by pointer": lambda m, x, c: x * c if x.data_ptr() % 2 == 0 else x,
    "values, by dlpack": lambda m, x, c: torch.from_dlpack(np.from_dlpack(x) * c),
    "where": lambda m, x, c: torch.where(x > 0, x, c * x),
    "mask": lambda m, x, c: x * (x > 0).to(x.dtype) * c,
    "masked_fill": lambda m, x, c: x.masked_fill(x > 0, c),
    "masked index": lambda m, x, c: torch.relu(x[x > -1e9].view(x.shape)) * c,
    "indices": lambda m, x, c: x * x.max(dim=1, keepdim=True)[1].to(x.dtype),
    "refusal caught": refusal_caught,
    "batch over 1": lambda m, x, c: x * c if x.shape[0] > 1 else x,
    "batch of 1": lambda m, x, c: x * c if len(x) == 1 else x,
    "odd batch": lambda m, x, c: x * c if x.size(0) % 2 else x,
    "large batch": lambda m, x, c: x * c if x.numel() > 150 else x,
    "batch mean": lambda m, x, c: (x - x.mean(0, keepdim=True)) * c,
    "row number": lambda m, x, c: x * torch.arange(len(x), dtype=x.dtype)[:, None],
    "softmax over the batch": lambda m, x, c: torch.softmax(x, dim=0) * c,
    "global counter": counted_in_a_global,
    "class counter": counted_in_a_class,
    "attribute counter": counted_in_an_attribute,
    "list": counted_in_a_list,
    "default": counted_in_a_default,
    "keyword": counted_in_a_keyword,
    "closure": counted_in_a_closure(),
    "environment": counted_in_the_environment,
    "slots": counted_in_slots,
    "list iterator": lambda m, x, c: x * c if next(m.numbers) > m.late else x,
    "buffer": counted_in_a_buffer,
    "growing buffer": growing_buffer,
    "function attribute": counted_on_a_function,
    "array": counted_in_an_array,
    "itertools": lambda m, x, c: x * c if next(COUNTER) > m.late else x,
    "generator": lambda m, x, c: x * c if next(GENERATOR) > m.late else x,
    "dict": lambda m, x, c: x * c if m.table.setdefault(len(m.table), 1) > m.late else x,
    "remembered input": remembered,
    "weights changed": weights_changed,
    "weights changed by data": weights_changed_by_data,
    "random": lambda m, x, c: x * c if random.random() < 0.01 else x,
    "random method": lambda m, x, c: x * random.choice([1, c]),
    "own random": lambda m, x, c: x * c if m.random.random() < 0.01 else x,
    "numpy.random": lambda m, x, c: x * c if np.random.rand() < 0.01 else x,
    "numpy generator": lambda m, x, c: x * c if RNG.random() < 0.01 else x,
    "torch.rand": lambda m, x, c: x * c if torch.rand(()).item() < 0.01 else x,
    "rand_like": lambda m, x, c: x * torch.rand_like(x) * c,
    "bernoulli": lambda m, x, c: x * torch.bernoulli(torch.full_like(x, 0.01)) * c,
    "dropout": lambda m, x, c: nn.functional.dropout(x, 0.99),
    "urandom": lambda m, x, c: x * c if os.urandom(1)[0] < 3 else x,
    "time": lambda m, x, c: x * c if time.time() % 1 < 0.01 else x,
    "perf_counter": lambda m, x, c: x * c if time.perf_counter_ns() % 100 == 0 else x,
    "datetime": lambda m, x, c: x * c if datetime.datetime.now().microsecond < 9999 else x,
    "thread": in_a_thread,
    "changed in a pool": changed_in_a_pool,
    "changed by NumPy in a pool": changed_by_numpy_in_a_pool,
    "pool": lambda m, x, c: x + POOL.submit(lambda: x * c).result(),
    "unseen": unseen,
    "unseen sum": unseen_sum,
    "function mode": lambda m, x, c: x if has_torch_function((x,)) else x * c,
    "dispatch mode": lambda m, x, c: x if _get_current_dispatch_mode() is not None else x * c,
    "profiler": lambda m, x, c: x if sys.getprofile() else x * c,
    "view": through_a_view,
    "subclass": lambda m, x, c: (x.as_subclass(Loud) + 0).as_subclass(torch.Tensor),
    "subclass constant": lambda m, x, c: x + LOUD,
    "object with operations": lambda m, x, c: torch.add(x, LoudNumber()),
    "another dispatch mode": loud_kernels,
    "vmap": lambda m, x, c: torch.vmap(lambda row: row * c)(x),
    "kernel": lambda m, x, c: torch.ops.aten.mul(x, c),
    "set": lambda m, x, c: (x.__setitem__(slice(None), x * c), x)[1],
    "copied": lambda m, x, c: torch.empty_like(x).copy_(x * c),
    "out": lambda m, x, c: torch.mul(x, c, out=torch.empty_like(x)),
}


class Idiom(nn.Module):
    """A layer that does one of them."""

    def __init__(self, function, factor, late):
        super().__init__()
        self.function, self.factor, self.late = function, factor, late
        self.calls, self.seen, self.last, self.table = 0, [], None, {}
        self.array, self.random = np.zeros(1), random.Random(0)
        self.slots = Slots()
        self.slots.calls, self.numbers = 0, iter(list(range(10**4)))
        self.register_buffer("number", torch.zeros((), dtype=torch.float64))
        self.scale = nn.Parameter(torch.ones(4, dtype=torch.float64))

    def forward(self, x):
        if isinstance(self.function, types.FunctionType) and (
            self.function.__code__.co_varnames[:1] == ("m",)
        ):
            return self.function(self, x, self.factor)
        return self.function(x, self.factor)
