"""ONNX models, as the protocol buffer that every ONNX runtime reads; reading it runs no code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.text import check_size
from simpleml.save_patterns.stream import lend
from simpleml.types import JSON

LARGEST = 2**31 - 1
"""No protocol buffer may have more bytes."""


class OnnxSerializer:
    """Keeps an `onnx.ModelProto`, field by field; writing and reading take the memory of its bytes once more."""

    name = "onnx"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a `ModelProto` that holds all of its tensors and is not larger than 2 GiB."""
        return _is_model(value) and _refusal(value) is None

    def dump(self, value: Any, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the model."""
        if not _is_model(value):
            raise SerializationError(
                f"onnx keeps an onnx.ModelProto, and this is a {type(value).__module__}.{type(value).__qualname__}: convert "
                "it (skl2onnx, torch.onnx.export, ...), or keep it with the pattern 'pickled'."
            )
        refusal = _refusal(value)
        if refusal is not None:
            raise SerializationError(refusal)
        try:
            data = value.SerializeToString(deterministic=True)
        except _faults() as error:
            raise SerializationError(f"this onnx model cannot be written: {error}") from error
        lend(stream, data)
        return {"size": len(data)}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the model; nothing of `data` is kept, and no other file is looked at."""
        try:
            import onnx
        except ImportError as error:
            raise MissingDependencyError("onnx artifacts need onnx: pip install 'simpleml[onnx]'") from error
        check_size(data, details, "onnx model")
        model = onnx.ModelProto()
        try:
            model.ParseFromString(bytes(data))
        except _faults() as error:
            raise SerializationError(f"these {len(data)} bytes are no onnx model: {error}") from error
        return model


ONNX = OnnxSerializer()


def _is_model(value: Any) -> Any:
    return type(value) is getattr(sys.modules.get("onnx"), "ModelProto", None)


def _faults() -> tuple[type[Exception], ...]:
    from google.protobuf.message import DecodeError, EncodeError

    return (DecodeError, EncodeError, ValueError, RuntimeError, MemoryError)


def _refusal(model: Any) -> str | None:
    """Return why these bytes would not be the whole model, or None."""
    try:
        size = model.ByteSize()
    except _faults():
        size = LARGEST + 1
    if size > LARGEST:
        return (
            f"this onnx model has more than the {LARGEST:,} bytes that a protocol buffer may have. Keep its weights apart: "
            "take the large initializers out and keep them with the pattern 'safetensors', or keep the folder that "
            "onnx.save(model, path, save_as_external_data=True) writes."
        )
    for tensor in _tensors(model.graph):
        if tensor.data_location == tensor.EXTERNAL:
            return (
                f"the tensor {tensor.name!r:.80} of this onnx model lies in a file of its own, which would be left behind: "
                "call onnx.external_data_helper.load_external_data_for_model(model, folder) first."
            )
    return None


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield every tensor of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner) if inner.node or inner.initializer else ()
