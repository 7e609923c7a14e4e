"""Short hashes of inputs and models, by which a resumed run knows that they are the same."""

from __future__ import annotations

import hashlib

import torch


def input_hash(x: torch.Tensor) -> str:
    """Return 16 hexadecimal digits of the type, shape and values of an input."""
    digest = hashlib.blake2b(digest_size=8)
    _add_tensor(digest, x)
    return digest.hexdigest()


def model_hash(model: object) -> str:
    """Return the kind of a model and, of a module, a hash of its layers and all its weights.

    Of a plain callable only the name is known here: a change of its code is not seen. A
    callable that knows better has a method ``rsverify_hash()`` that returns what to keep.
    """
    own = getattr(model, "rsverify_hash", None)
    if own is not None:
        return str(own())
    if not isinstance(model, torch.nn.Module):
        if model is None:
            return ""
        named = model if hasattr(model, "__qualname__") else type(model)
        return f"{named.__module__}.{named.__qualname__}"
    check_made(model)
    digest = hashlib.blake2b(digest_size=8)
    digest.update("\n".join(f"{k} {type(m).__name__}" for k, m in model.named_modules()).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            _add_tensor(digest, value)
    return f"{type(model).__name__} {digest.hexdigest()}"


def check_made(module: torch.nn.Module) -> None:
    """Raise where a module has layers that get their weights with the first batch."""
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if torch.nn.parameter.is_lazy(value):
            raise ValueError(
                f"model={type(module).__name__} must have all its weights, and {name} gets its "
                "shape from the first batch (a Lazy layer): call the model on one batch first"
            )


def _add_tensor(digest: hashlib.blake2b, tensor: torch.Tensor) -> None:
    digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    values = tensor.detach().cpu().contiguous()
    digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
