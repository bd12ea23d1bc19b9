from __future__ import annotations

import io
import json
import zipfile
from functools import partial

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from simpleml.errors import SerializationError, TrustError
from simpleml.save_patterns.serializers.json import JSON_TEXT
from simpleml.save_patterns.serializers.skops import SKOPS
from simpleml.save_patterns.trust import NamesTypes, Policy
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, SKOPS)

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


class Mine(BaseEstimator):
    made = 0

    def __init__(self, step=1):
        Mine.made += 1
        self.step = step


class Touchy(BaseEstimator):
    def __init__(self, keep=None):
        self.keep = keep


MINE = f"{__name__}.Mine"


def state(value):
    """Return all that was fitted, comparable."""
    if isinstance(value, BaseEstimator):
        return type(value), {name: state(part) for name, part in sorted(vars(value).items())}
    if isinstance(value, np.ndarray):
        return repr(value.dtype), value.shape, repr(value.tolist())
    if isinstance(value, list | tuple):
        return type(value), [state(part) for part in value]
    if isinstance(value, dict):
        return {name: state(part) for name, part in value.items()}
    if hasattr(value, "__getstate__") and type(value).__module__.startswith("sklearn."):
        return type(value), state(value.__getstate__())
    return type(value), repr(value) if not isinstance(value, type) else value


class TestContract(SerializerContract):
    def serializer(self):
        return SKOPS

    def values(self):
        columns = ColumnTransformer([("n", StandardScaler(), [0, 1]), ("c", OneHotEncoder(), [2])])
        return [
            LogisticRegression(C=0.5).fit(X, Y),
            make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
            RandomForestClassifier(3, random_state=0).fit(X, Y),
            columns.fit(np.round(X)),
        ]

    def same(self, left, right):
        return state(left) == state(right)

    def refused(self):
        return [lambda: None, Touchy(keep=io.StringIO("x")), Touchy(keep=lambda: 1)]

    def large(self):
        model = LogisticRegression().fit(X, Y)
        model.extra_ = np.ones(3_000_000)
        return model


def test_own_types_are_named_and_read_only_if_trusted():
    """A type that skops does not know is in the details, is not made an object of unless the policy has its exact name."""
    data, details = dump(make_pipeline(StandardScaler(), Mine(2)))
    assert details["types"] == [MINE]
    assert SKOPS.untrusted(data) == (MINE,)
    assert isinstance(SKOPS, NamesTypes)
    made = Mine.made
    for policy in (
        Policy(),
        Policy("safe"),
        Policy(trusted=frozenset({"default"})),
        Policy(trusted_types=frozenset({"x.Mine"})),
    ):
        with pytest.raises(TrustError, match=rf"{MINE}.*trusted_types = \[.*\"{MINE}\""):
            policy.check_reading(SKOPS, "default", data)
    assert Mine.made == made
    Policy("safe", trusted_types=frozenset({MINE})).check_reading(SKOPS, "anywhere", data)
    assert SKOPS.load(data, format=1, details=details)[1].step == 2


def test_scikit_learn_itself_needs_no_trust():
    """Estimators of scikit-learn are read under the safe policy, from any store, without a setting."""
    data, details = dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y))
    assert details["types"] == []
    Policy("safe").check_reading(SKOPS, "anywhere", data)


def test_other_formats_have_no_types_to_check():
    """The policy looks at types of formats that name some; others pass by their `executes` alone."""
    Policy("safe").check_reading(JSON_TEXT, "anywhere", bytearray(b"not even json"))


def test_functions_that_run_commands_are_never_taken_for_harmless():
    """A file that was made to call `os.system` names it, so that no policy without that name reads it."""
    data, _ = dump(FunctionTransformer(np.log1p))
    source, stream = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in source.namelist():
            text = source.read(name)
            if name == "schema.json":
                text = text.replace(b'"log1p"', b'"system"').replace(b'"numpy"', b'"os"')
            archive.writestr(name, text)
    assert any("os.system" in name or "system" in name for name in SKOPS.untrusted(bytearray(stream.getvalue())))


def test_skops_reads_the_file():
    """The file is what `skops.io.dump` writes, and we read what it wrote."""
    model = LogisticRegression().fit(X, Y)
    assert state(skops.io.loads(bytes(dump(model)[0]))) == state(model)
    assert state(SKOPS.load(bytearray(skops.io.dumps(model)), format=1, details={})) == state(model)


def bomb(size, count=1):
    """Return an archive that unpacks to `count` times `size` zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({"protocol": 2}))
        for number in range(count):
            with archive.open(f"{number}.npy", "w") as member:
                for _ in range(size // 1_000_000):
                    member.write(bytes(1_000_000))
    return bytearray(stream.getvalue())


def test_bombs_are_refused_before_they_are_unpacked():
    """An archive that would unpack to far more than its size is refused by what it declares."""
    for data in (bomb(70_000_000), bomb(14_000_000, 5)):
        for work in (SKOPS.untrusted, lambda data: SKOPS.load(data, format=1, details={})):
            with pytest.raises(SerializationError, match="unpack"):
                work(data)


def test_a_name_twice_in_the_archive_is_refused():
    """What one reader finds under a name is what every other finds."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("schema.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("schema.json", "{}")
    with pytest.raises(SerializationError, match="twice"):
        SKOPS.untrusted(bytearray(stream.getvalue()))
