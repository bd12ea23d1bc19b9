"""What a JSON column holds comes back equal in type and value, on every database."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
from sqlalchemy import inspect, text

from simpleml.errors import EncodingError
from simpleml.orm import Database, ORMGeneral, ORMModel
from tests.integration.kinds import Box
from tests.unit.test_encoding_oracle import EXAMPLES, same


def _columns(database: Database) -> dict[str, str]:
    """The type of every JSON column in the database's own words, by table and name."""
    types = {}
    for table in inspect(database.engine).get_table_names():
        for column in inspect(database.engine).get_columns(table):
            if column["name"] in ("metadata", "filepaths", "params", "feature_metadata", "values"):
                types[f"{table}.{column['name']}"] = column["type"].__visit_name__
    return types


def test_every_value_that_can_be_encoded_comes_back_exactly(database: Database) -> None:
    """Each example of the codec's tests is stored in a record's metadata and read back equal, floats to the bit."""
    made = ORMGeneral.create(
        name="all",
        hash_="h",
        registered_name="R",
        metadata_={f"{number}": value for number, value in enumerate(EXAMPLES)},
    )
    found = ORMGeneral.find_or_fail(made.id).to_dict()["metadata_"]
    assert list(found) == [f"{number}" for number in range(len(EXAMPLES))]
    for number, value in enumerate(EXAMPLES):
        assert same(found[f"{number}"], value), f"{value!r:.100} came back as {found[f'{number}']!r:.100}"


def test_config_state_and_columns_of_a_kind_come_back_exactly(database: Database) -> None:
    """The config and the state of an object, and the JSON columns of its kind, keep every type, and so does its hash."""
    config = {
        "tuple": (1, (2.5,)), "set": {1, 2}, "bytes": b"\0\xff", "big": 2**70, "nan": float("nan"), 3: "int key", "array": np.eye(2),
        "text": "ü€🎉\\\"'%_", "order": {"b": 1, "a": 2}, "empty": "", "null": None, "deep": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]],
    }  # fmt: skip
    box = Box(name="a", data=1, config=config, state={"config": config}).save()
    found = Box.load(name="a")
    assert same(found.config, config)
    assert same(found.state, {"config": config})
    assert found.hash_ == box.hash_ == found._hash()
    params = {"depth": (3, None), "rate": -0.0}
    model = ORMModel.create(name="m", hash_="h", registered_name="R", params=params, feature_metadata={"x": {1}})
    again = ORMModel.find_or_fail(model.id).to_dict()
    assert same(again["params"], params)
    assert same(again["feature_metadata"], {"x": {1}})


def test_the_order_of_keys_and_the_digits_are_kept(database: Database) -> None:
    """A column keeps the text it was given: keys in their order, no digit lost, no key dropped."""
    metadata = {"z": 1, "a": 0.1 + 0.2, "m": {"y": 1e-320, "x": 2**53 + 1}}
    ORMGeneral.create(name="a", hash_="h", registered_name="R", metadata_=metadata)
    [found] = ORMGeneral.where(name="a").to_dicts()
    assert [list(found["metadata_"]), list(found["metadata_"]["m"])] == [["z", "a", "m"], ["y", "x"]]
    assert same(found["metadata_"], metadata)


def test_the_column_type_keeps_text(database: Database) -> None:
    """On PostgreSQL the columns are of the type `json`, which keeps what it is given; `jsonb` would not."""
    wanted = {"sqlite": {"JSON"}, "postgresql": {"JSON"}, "mysql": {"LONGTEXT", "JSON"}}[
        database.url.get_backend_name()
    ]
    types = _columns(database)
    assert len(types) >= 10 + 4
    assert set(types.values()) <= wanted
    if database.url.get_backend_name() == "postgresql":
        with database.engine.connect() as connection:
            query = "SELECT DISTINCT data_type FROM information_schema.columns WHERE column_name IN ('metadata', 'filepaths', 'params')"
            assert connection.execute(text(query)).scalars().all() == ["json"]


@pytest.mark.parametrize("value", [None, {}])
def test_none_is_sql_null_and_empty_is_not(database: Database, value: Any) -> None:
    """None is stored as SQL NULL, an empty mapping as an empty mapping."""
    ORMModel.create(name="a", hash_="h", registered_name="R", params=value)
    with database.engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM models WHERE params IS NULL")).scalar()
    assert count == (1 if value is None else 0)
    [found] = ORMModel.where(name="a").to_dicts()
    assert found["params"] == value


def test_mappings_of_other_kinds_are_tracked_too(local: Database) -> None:
    """An ordered or default dict at the top of a column is taken, and a change in it is seen."""
    for number, value in enumerate([OrderedDict(a=[1]), defaultdict(list, a=[1]), {"a": [1]}]):
        made = ORMGeneral.create(name=f"n{number}", hash_="h", registered_name="R", metadata_=value)
        assert made.metadata_ is not None
        made.metadata_["a"].append(2)
        made.save()
        assert ORMGeneral.find_or_fail(made.id).metadata_ == {"a": [1, 2]}


@pytest.mark.parametrize("value", ["text", 5, (1, 2), {1, 2}, object()])
def test_a_column_takes_no_scalar(local: Database, value: Any) -> None:
    """What is neither a mapping nor a list nor None is refused when it is assigned."""
    with pytest.raises(EncodingError, match="a JSON column holds a mapping, a list or None") as caught:
        ORMGeneral.create(name="a", hash_="h", registered_name="R", metadata_=value)
    assert isinstance(caught.value, ValueError)
    assert ORMGeneral.where().count() == 0
