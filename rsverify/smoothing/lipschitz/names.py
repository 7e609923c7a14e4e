"""Names of what code asks of a tensor, by what it means for a constant."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodDescriptorType, WrapperDescriptorType

import torch

from rsverify.smoothing.lipschitz.operations import name_of

# What tells a shape or kind of tensor, not its values.
FORM_METHODS = frozenset(
    {
        *("size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "__len__"),
        *("element_size", "is_floating_point", "is_complex", "is_contiguous", "is_signed"),
        *("get_device", "is_inference", "is_shared", "is_pinned", "is_conj", "is_neg"),
        *("has_names", "__hash__"),
    }
)
FORM_ATTRIBUTES = frozenset(
    {
        *("shape", "ndim", "device", "dtype", "layout", "requires_grad", "grad", "grad_fn"),
        *(
            "is_leaf",
            "is_cuda",
            "is_cpu",
            "is_mps",
            "is_sparse",
            "is_quantized",
            "is_meta",
            "names",
        ),
        *("itemsize", "nbytes", "_version", "is_nested", "is_mkldnn", "is_xpu", "retains_grad"),
    }
)
# Attributes that are operations.
ATTRIBUTES = {"T": "transpose", "mT": "transpose", "data": "detach"}
JUMPS = frozenset(
    {
        *("gt", "lt", "ge", "le", "eq", "ne", "__eq__", "__ne__", "greater", "less", "isnan"),
        *("argmax", "argmin", "argsort", "sign", "round", "floor", "ceil", "isfinite", "isinf"),
        *("bool", "int", "long", "any", "all", "count_nonzero", "logical_not", "isclose"),
    }
)
# Make a tensor of a given form, whatever the values are.
FACTORIES = frozenset(
    {
        *("zeros_like", "ones_like", "full_like", "empty_like"),
        *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"),
    }
)
# Take the form of the first argument from the second.
LIKE = frozenset({"expand_as", "view_as", "reshape_as", "type_as"})
# Methods of the second operand, and what they are for the first.
REVERSED = {
    f"__r{name}__": f"__{name}__" for name in ("add", "sub", "mul", "div", "truediv", "matmul")
}
READS = frozenset(
    {
        *("item", "tolist", "numpy", "data_ptr", "storage", "untyped_storage", "equal", "allclose"),
        *("is_nonzero", "nonzero", "__bool__", "__int__", "__float__", "__complex__", "__index__"),
        *("__array__", "__contains__", "__repr__", "__format__", "__dlpack__", "__reduce_ex__"),
        *("__array_wrap__", "__deepcopy__", "_storage", "cpu_numpy"),
    }
)


def spelling(func: Callable[..., object]) -> tuple[str, bool]:
    """Return the name of a function of torch, and whether it is an attribute."""
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        return str(getattr(func.__self__, "__name__", "attribute")), True  # type: ignore[attr-defined]
    return str(name), False


def table_name(
    func: Callable[..., object], spelled: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> str | None:
    """Return the name in the tables, None where it is in none."""
    method = isinstance(func, MethodDescriptorType | WrapperDescriptorType) or (
        getattr(func, "__module__", None) == "torch._tensor"
    )
    name = name_of(REVERSED.get(spelled, spelled) if method else func)
    if name in ("max", "min") and (
        "other" in kwargs or any(isinstance(a, torch.Tensor) for a in args[1:])
    ):
        return f"{name}imum"
    return name
