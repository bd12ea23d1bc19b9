from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers import onnx as module
from simpleml.save_patterns.serializers.onnx import ONNX
from simpleml.testing.serializers import SerializerContract, WriteOnly


def model(weights):
    """Return a model that adds `weights` to its input."""
    shape = list(weights.shape)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "adds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, doc_string="é", producer_name="test")


def external():
    """Return a model whose weights lie in another file."""
    found = model(np.ones(3, "f4"))
    tensor = found.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return found


class TestContract(SerializerContract):
    def serializer(self):
        return ONNX

    def values(self):
        return [model(np.arange(3, dtype="f4")), onnx.ModelProto()]

    def refused(self):
        return [b"bytes", model(np.ones(3, "f4")).graph, external(), None]

    def large(self):
        return model(np.ones(6_000_000, "f4"))


def test_onnx_reads_the_file():
    """The file is what `onnx.save` writes: onnx reads and checks it."""
    stream = WriteOnly()
    ONNX.dump(model(np.ones(3, "f4")), stream)
    onnx.checker.check_model(onnx.load_model_from_string(bytes(stream.data)))


def test_weights_in_other_files_are_refused_also_inside_of_nodes():
    """A model that would leave its weights behind is refused by the tensor's name; wherever the tensor is."""
    outer = helper.make_model(
        helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=external().graph)], "outer", [], [])
    )
    for odd in (external(), outer):
        assert not ONNX.accepts(odd)
        with pytest.raises(SerializationError, match=r"'w'.*load_external_data_for_model"):
            ONNX.dump(odd, WriteOnly())


def test_a_model_beyond_the_limit_of_its_format_is_refused(monkeypatch):
    """What a protocol buffer cannot hold is refused before it is written, with the way out; the limit is lowered to see it."""
    monkeypatch.setattr(module, "LARGEST", 1000)
    ONNX.dump(model(np.ones(3, "f4")), WriteOnly())
    with pytest.raises(SerializationError, match="safetensors"):
        ONNX.dump(model(np.ones(1000, "f4")), WriteOnly())
    assert not ONNX.accepts(model(np.ones(1000, "f4")))
