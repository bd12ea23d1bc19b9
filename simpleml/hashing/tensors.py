"""PyTorch tensors: dtype, shape and values, on whatever device and with whatever strides they are."""

from __future__ import annotations

from typing import Any

from simpleml.hashing.hashers import opens
from simpleml.hashing.origins import type_name
from simpleml.hashing.tokens import Node, Refusal

# Floats that NumPy does not have: the NaN that stands for all, as an integer of the same size.
_NAN = {"torch.bfloat16": 0x7FC0, "torch.float8_e4m3fn": 0x7F, "torch.float8_e5m2": 0x7F}


@opens("torch.Tensor")
def open_tensor(value: Any) -> Node:
    """A tensor is its type, dtype, shape and values; device, strides and gradients do not count."""
    import torch

    header = type_name(type(value)) + f" {value.dtype} {tuple(value.shape)}".encode()
    tensor = value.detach().cpu()
    if tensor.is_quantized:
        raise Refusal("a quantized tensor; dequantize it, or hash its int_repr() with its scales")
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce()
        return Node(b"sparse tensor", header, (tensor.indices(), tensor.values()), (".indices()", ".values()"))
    if tensor.layout is not torch.strided:
        raise Refusal(f"a tensor of layout {tensor.layout}; convert it with .to_dense() or .to_sparse()")
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    return Node(b"tensor", header, (_array(tensor),), ("",))


def _array(tensor: Any) -> Any:
    """Return the values as a NumPy array: as they are where NumPy has the type, else as integers or bytes."""
    import torch

    plain = {torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bool}
    if tensor.dtype in plain or not (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
        return tensor.numpy()
    if tensor.is_complex():  # of two halves
        return tensor.to(torch.complex64).numpy()
    nan = _NAN.get(str(tensor.dtype))
    bits = tensor.view(torch.int16 if tensor.element_size() == 2 else torch.uint8)
    if nan is not None:
        missing = torch.isnan(tensor.float())
        if bool(missing.any()):
            bits = bits.masked_fill(missing, nan)
    return bits.numpy()


@opens("torch.Generator")
def open_generator(value: Any) -> Node:
    """A generator is its device and what it will draw next."""
    return Node(b"torch generator", str(value.device).encode(), (value.get_state(),), (".get_state()",))
