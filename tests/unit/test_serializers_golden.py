"""Files of every byte format that was ever written lie in `golden/`, with what their references said.

Run as a script, this writes what is missing there; it never writes over a file.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.preprocessing import StandardScaler

from simpleml.save_patterns.catalogue import serializers
from simpleml.testing.serializers import WriteOnly

os.environ.setdefault("KERAS_BACKEND", "jax")

GOLDEN = Path(__file__).parent / "golden"
FRAME = pd.DataFrame(
    {
        "n": [1, 2, 3],
        "x": [0.1, np.nan, -0.0],
        "t": ["a", None, 'é, "'],
        "at": pd.to_datetime(["2020-01-01", None, "1950-06-01"]).as_unit("us").tz_localize("Europe/Berlin"),
        "c": pd.Categorical(["u", "v", "u"], categories=["w", "v", "u"], ordered=True),
    },
    index=pd.Index(["r", "s", "t"], name="key"),
)
POLARS = pl.DataFrame({"n": [1, None], "t": ["a", None], "e": pl.Series(["y", "x"], dtype=pl.Enum(["x", "y"]))})
ARROW = pa.table(
    {"n": pa.array([1, None], pa.int16()), "w": pa.array(["a", "b"], pa.dictionary(pa.int8(), pa.string()))}
)
PLAIN = {"a": [1, 2.5, "é", None, True], "b": {"c": []}}
ARRAYS = {"w": np.arange(6, dtype="f4").reshape(2, 3), "b": np.array([True, False])}


def onnx_model():
    """Return a model without nodes."""
    import onnx

    return onnx.ModelProto(ir_version=8, producer_name="simpleml", doc_string="é")


def keras_model():
    """Return a model of one layer with known weights."""
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="golden")
    model.set_weights([np.array([[1.5], [2.5]], "f4"), np.array([0.5], "f4")])
    return model


ROWS = np.array([[0.0], [0.0], [1.0], [1.0]])


def torch_module():
    """Return a layer with known weights."""
    import torch

    module = torch.nn.Linear(2, 1)
    module.load_state_dict({"weight": torch.tensor([[1.5, 2.5]]), "bias": torch.tensor([0.5])})
    return module.eval()


def xgboost_estimator():
    """Return one stump that gives 2 and 5."""
    import xgboost

    stump = {"n_estimators": 1, "max_depth": 1, "learning_rate": 1.0, "reg_lambda": 0.0, "base_score": 0.0}
    return xgboost.XGBRegressor(**stump, n_jobs=1).fit(ROWS, [2.0, 2.0, 5.0, 5.0])


def lightgbm_estimator():
    """Return one stump that gives 2 and 5."""
    import lightgbm

    stump = {"n_estimators": 1, "num_leaves": 2, "learning_rate": 1.0, "min_child_samples": 1, "min_data_in_bin": 1}
    return lightgbm.LGBMRegressor(**stump, n_jobs=1, verbose=-1).fit(ROWS, [2.0, 2.0, 5.0, 5.0])


def catboost_model():
    """Return one stump that gives 2 and 5."""
    import catboost

    stump = {"iterations": 1, "depth": 1, "learning_rate": 1.0, "l2_leaf_reg": 0.0, "bootstrap_type": "No"}
    quiet = {"allow_writing_files": False, "verbose": False, "thread_count": 1, "random_seed": 0}
    return catboost.CatBoostRegressor(**stump, **quiet).fit(ROWS, [2.0, 2.0, 5.0, 5.0])


VALUES = {
    "cloudpickle": lambda: {**PLAIN, "set": {1}, "array": np.arange(10_000.0)},
    "joblib": lambda: {**PLAIN, "set": {1}, "array": np.arange(3.0), "objects": np.array([{}, None], dtype=object)},
    "json": lambda: {**PLAIN, "day": dt.date(2020, 1, 1)},
    "numpy": lambda: np.array([(1, 2.5, "x")], dtype=[("a", "<i4"), ("b", ">f8"), ("c", "U3")]),
    "parquet": lambda: FRAME,
    "parquet.polars": lambda: POLARS,
    "parquet.arrow": lambda: ARROW,
    "feather": lambda: FRAME,
    "feather.polars": lambda: POLARS,
    "feather.arrow": lambda: ARROW,
    "csv": lambda: FRAME,
    "csv.polars": lambda: POLARS,
    "csv.arrow": lambda: ARROW,
    "skops": lambda: StandardScaler().fit([[1.0, 2.0], [3.0, 5.0]]),
    "safetensors": lambda: ARRAYS,
    "onnx": onnx_model,
    "keras": keras_model,
    "torch": torch_module,
    "xgboost": xgboost_estimator,
    "lightgbm": lightgbm_estimator,
    "catboost": catboost_model,
    "text": lambda: "é\r\n",
    "bytes": lambda: bytearray(b"\0\xff"),
}
FILES = sorted(GOLDEN.glob("*.bin"))


def comparable(value):
    """Return something that is equal for equal values."""
    if isinstance(value, pd.DataFrame):
        return value.to_csv(), str(value.dtypes), str(value.index), value.columns.tolist()
    if isinstance(value, pl.DataFrame):
        return value.schema, value.rows()
    if isinstance(value, np.ndarray):
        return value.dtype.str, repr(value.dtype), value.shape, value.tolist()
    if isinstance(value, dict):
        return {name: comparable(part) for name, part in value.items()}
    if isinstance(value, StandardScaler):
        return value.mean_.tolist(), value.scale_.tolist()
    if type(value).__module__.startswith("keras."):
        return value.name, [comparable(weights) for weights in value.get_weights()]
    if type(value).__module__.startswith("torch."):
        return {name: part.tolist() for name, part in value.state_dict().items()}
    if hasattr(value, "predict"):
        return repr(sorted(value.get_params().items())), np.round(value.predict(ROWS), 3).tolist()
    return type(value), value


def test_every_serializer_has_a_file_of_its_format():
    """Each known serializer has a file of the format that it writes today: whoever raises the number adds one."""
    have = {(path.name.split(".")[0], int(path.name.split(".")[1])) for path in FILES}
    known = {(name, serializers.get(name).format) for name in {key.split(".")[0] for key in VALUES}}
    assert known <= have
    ours = {
        name
        for name in serializers.names()
        if type(serializers.get(name)).__module__.startswith("simpleml.save_patterns.")
    }
    assert {name for name, _ in known} == ours


@pytest.mark.filterwarnings("ignore:Trying to unpickle estimator")  # a scikit-learn that the file is older than
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, by numpy
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_todays_reader_reads_every_format_ever_written(path):
    """The file comes back as the value it was made of, whatever has changed since."""
    name, number, *variant = path.stem.split(".")
    value = VALUES[".".join([name, *variant])]()
    details = json.loads(path.with_suffix(".json").read_text())
    loaded = serializers.get(name).load(bytearray(path.read_bytes()), format=int(number), details=details)
    assert type(loaded) is type(value)
    assert comparable(loaded) == comparable(value)


def write_missing():
    """Write a file for each format and value that has none."""
    for key, make in VALUES.items():
        name, *variant = key.split(".")
        serializer = serializers.get(name)
        path = GOLDEN / ".".join([name, str(serializer.format), *variant, "bin"])
        if not path.exists():
            stream = WriteOnly()
            details = serializer.dump(make(), stream)
            path.write_bytes(stream.data)
            path.with_suffix(".json").write_text(json.dumps(dict(details), sort_keys=True) + "\n")


if __name__ == "__main__":
    write_missing()
