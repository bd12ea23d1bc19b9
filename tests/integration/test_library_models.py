"""Models of XGBoost, LightGBM, CatBoost and PyTorch, and plain functions: saved, loaded elsewhere, and predicting the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
import xgboost

import simpleml
from simpleml.datasets import PandasDataset
from simpleml.errors import HashingError, IdentityError, MissingDependencyError, ModelError
from simpleml.models import CatBoostModel, FunctionModel, LightGBMModel, TorchModel, XGBoostModel
from simpleml.orm import Database
from simpleml.pipelines import RandomSplitSklearnPipeline
from tests.integration.networks import Denoiser, Perceptron

ROOT = Path(__file__).resolve().parents[2]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(240, 4))
Y = (X[:, 0] + 0.2 * X[:, 1] > 0).astype(int)
WORDS = np.where(Y, "yes", "no")
DATA = np.ascontiguousarray(X[:20])

BOOSTERS = {
    "xgboost": lambda **more: XGBoostModel(xgboost.XGBClassifier(n_estimators=5, n_jobs=1), name="it", **more),
    "lightgbm": lambda **more: LightGBMModel(
        lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1), name="it", **more
    ),
    "catboost": lambda **more: CatBoostModel(
        catboost.CatBoostClassifier(iterations=5, thread_count=1, random_seed=0), name="it", **more
    ),
}
ELSEWHERE = """
import json, sys
import numpy
import simpleml
simpleml.connect(sys.argv[1], store=sys.argv[2], home=sys.argv[3])
model = simpleml.load("model", name="it", version=1)
data = numpy.array(json.loads(sys.argv[4]))
answer = model.predict_proba(data) if model.classes_in_order else model.predict(data)
print(json.dumps(numpy.asarray(answer).tolist()))
""".replace("model.classes_in_order", "sys.argv[5] == 'classes'")


def net(**more):
    """Return an unfitted model of two classes."""
    options = {"loss": "CrossEntropyLoss", "epochs": 3, "learning_rate": 0.05, "name": "it", **more}
    return TorchModel(Perceptron, arguments={"inputs": 4, "outputs": 2}, **options)


def rule(X, limit=0.0):
    """Return whether the first column is above a limit."""
    return np.asarray(X)[:, 0] > limit


def middle(X, y, factor=1.0):
    """Return the mean of the labels."""
    return {"mean": float(np.mean(y)) * factor}


def guess(learned, X):
    """Return what was learned for every row."""
    return np.full(len(X), learned["mean"])


def elsewhere(database, folder, kind="classes"):
    """Return what the model predicts in another process."""
    url = database.engine.url.render_as_string(hide_password=False)
    arguments = [url, str(folder / "store"), str(folder / "embedded"), json.dumps(DATA.tolist()), kind]
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


@pytest.mark.parametrize("library", BOOSTERS)
def test_boosters_come_back_in_another_process_and_predict_the_same(database: Database, tmp_path, library):
    """A fitted estimator is kept in its library's format, and a fresh process loads it by name and gives the same numbers."""
    model = BOOSTERS[library](max_depth=3).fit(X, Y).save()
    assert list(model.filepaths["external_model"]) == [library]
    assert model.params["max_depth"] == 3
    assert model.feature_metadata["classes"] == [0, 1]
    assert np.array_equal(elsewhere(database, tmp_path), model.predict_proba(DATA).tolist())
    loaded = simpleml.load("model", name="it")
    assert type(loaded) is type(model)
    assert type(loaded.estimator) is type(model.estimator)
    assert np.array_equal(loaded.predict(DATA), model.predict(DATA))
    loaded.save()  # nothing has changed
    assert loaded.hash_ == model.hash_


@pytest.mark.parametrize("library", BOOSTERS)
def test_boosters_are_fitted_once_and_anew_from_a_new_version(local: Database, library):
    """Fitting twice is refused; the new version of a loaded one has its parameters, and is fitted with others."""
    model = BOOSTERS[library]().fit(X, Y).save()
    with pytest.raises(ModelError, match="fitted once"):
        model.fit(X, Y)
    loaded = type(model).load(name="it")
    again = loaded.new_version().fit(X, Y).save()
    other = loaded.new_version().set_params(max_depth=2).fit(X, Y).save()
    assert (again.version, other.version) == (2, 3)
    assert again.hash_ == model.hash_ != other.hash_
    assert np.array_equal(again.predict_proba(DATA), model.predict_proba(DATA))


@pytest.mark.parametrize("library", BOOSTERS)
def test_what_is_no_estimator_of_the_library_is_told(local: Database, library):
    """Another thing, a class, a keyword with a typo and a prediction before the fit are taught errors."""
    model = BOOSTERS[library]()
    with pytest.raises(ModelError, match="not fitted"):
        model.predict(X)
    with pytest.raises(ModelError, match=r"takes an? (estimator|model) of"):
        type(model)(lambda X: X)
    with pytest.raises(ModelError, match="was given the class"):
        type(model)(type(model.estimator))
    with pytest.raises(IdentityError, match="max_depth"):
        BOOSTERS[library](max_detph=3)


def test_a_booster_with_a_function_inside_is_pickled(local: Database):
    """An objective of the user's own has no place in XGBoost's file, so nobody's default fails: the estimator is pickled."""
    estimator = xgboost.XGBRegressor(n_estimators=2, objective=squared, n_jobs=1)
    model = XGBoostModel(estimator, name="own").fit(X, Y).save()
    assert list(model.filepaths["external_model"]) == ["pickled"]
    assert np.array_equal(XGBoostModel.load(name="own").predict(DATA), model.predict(DATA))


def squared(truth, predicted):
    """Return gradient and curvature of the squared error."""
    return predicted - truth, np.ones_like(truth)


def pipeline_of(name="split"):
    """Return a saved pipeline over a saved dataset, with a validation split."""
    frame = pd.DataFrame(X, columns=list("abcd")).assign(target=Y)
    dataset = PandasDataset(frame, label_columns=["target"], name="data").save()
    sizes = {"train_size": 0.6, "validation_size": 0.2, "test_size": 0.2}
    return RandomSplitSklearnPipeline(name=name, **sizes).add_dataset(dataset).fit().save()


def test_with_a_pipeline_the_validation_split_is_watched(local: Database, tmp_path, monkeypatch):
    """Each library is fitted on TRAIN and evaluated on VALIDATION; CatBoost leaves nothing in the working folder."""
    monkeypatch.chdir(tmp_path)
    pipeline = pipeline_of()
    boosted = XGBoostModel(xgboost.XGBClassifier(n_estimators=50, early_stopping_rounds=2, n_jobs=1), name="x")
    boosted.add_pipeline(pipeline).fit().save()
    assert len(boosted.estimator.evals_result()["validation_0"]["logloss"]) < 50
    light = BOOSTERS["lightgbm"]().add_pipeline(pipeline).fit()
    assert light.estimator.evals_result_
    cat = BOOSTERS["catboost"]().add_pipeline(pipeline).fit()
    assert "validation" in cat.estimator.get_evals_result()
    assert not (tmp_path / "catboost_info").exists()
    torched = net(name="t").add_pipeline(pipeline)
    known = torched._hash()
    torched.fit().save()
    assert torched.hash_ == known
    assert len(torched.history["validation_loss"]) == 3
    assert torched.feature_metadata["names"] == list("abcd")
    raw = pd.DataFrame(DATA, columns=list("abcd"))
    assert np.array_equal(TorchModel.load(name="t").predict(raw), torched.predict(raw))


def test_a_module_comes_back_in_another_process_and_predicts_the_same(database: Database, tmp_path):
    """What was trained here is kept without pickle, and a fresh process makes the module by its class and gives the same numbers."""
    model = net().fit(X, WORDS).save()
    assert list(model.filepaths["external_model"]) == ["torch"]
    assert model.feature_metadata["classes"] == ["no", "yes"]
    assert model.score(X, WORDS) > 0.9
    assert set(model.predict(DATA)) <= {"no", "yes"}
    assert np.array_equal(elsewhere(database, tmp_path), model.predict_proba(DATA).tolist())
    loaded = TorchModel.load(name="it")
    loaded.predict(DATA)
    loaded.save()
    assert loaded.hash_ == model.hash_


def test_mapped_modules_read_the_file_itself(local: Database):
    """With `mmap` the parameters are pages of the stored file, and predict the same."""
    wide = TorchModel(Perceptron, arguments={"inputs": 4, "hidden": 20_000}, epochs=1, batch_size=240, name="wide")
    model = wide.fit(X, X[:, 0]).save()
    loaded = TorchModel.load(name="wide", mmap=True)
    assert np.array_equal(loaded.predict(DATA), model.predict(DATA))
    address = loaded.external_model.out.weight.data_ptr()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [(int(one[0].split("-")[0], 16), int(one[0].split("-")[1], 16), one[-1]) for one in maps if len(one) > 5]
    [path] = [path for low, high, path in spans if low <= address < high]
    key = model.filepaths["external_model"]["torch"]["key"]
    assert path.endswith(key.rpartition("/")[2])


def test_training_is_the_same_each_time_and_leaves_the_callers_seed_alone(local: Database):
    """Equal settings give equal numbers and hashes, another seed others; torch's own random numbers go on as if nothing was."""
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, two, other = net(), net(), net(seed=1)
    for model in (one, two, other):
        model.fit(X, Y)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one._hash() == two._hash() != other._hash()
    assert np.array_equal(one.predict_proba(DATA), two.predict_proba(DATA))
    assert not np.array_equal(one.predict_proba(DATA), other.predict_proba(DATA))
    assert one.history == two.history
    again = one.save().new_version().fit(X, Y)
    assert np.array_equal(again.predict_proba(DATA), one.predict_proba(DATA))


def test_the_loop_is_the_one_that_one_would_write(local: Database):
    """Without shuffling, the module ends with the very numbers of a plain loop in torch over the same batches."""
    module = torch.nn.Linear(4, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
        module.bias.zero_()
    model = TorchModel(
        module, optimizer="SGD", learning_rate=0.1, epochs=2, batch_size=100, shuffle=False, name="plain"
    )
    model.fit(X, X[:, 1])
    features, target = torch.tensor(X, dtype=torch.float32), torch.tensor(X[:, 1], dtype=torch.float32)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        for start in (0, 100, 200):
            optimizer.zero_grad()
            loss = ((module(features[start : start + 100])[:, 0] - target[start : start + 100]) ** 2).mean()
            loss.backward()
            optimizer.step()
    assert torch.equal(model.external_model.weight, module.weight)
    assert torch.equal(model.external_model.bias, module.bias)


def test_a_module_that_was_made_before_is_where_training_starts(local: Database):
    """The module handed in is not touched, its numbers count for the hash, and a new version goes on from where it was."""
    torch.manual_seed(3)
    module, other = Perceptron(4), Perceptron(4)
    before = [one.clone() for one in module.parameters()]
    model = TorchModel(module, epochs=2, name="from").fit(X, X[:, 0]).save()
    assert all(torch.equal(one, two) for one, two in zip(before, module.parameters(), strict=True))
    assert model.hash_ != TorchModel(other, epochs=2, name="from").fit(X, X[:, 0])._hash()
    more = TorchModel.load(name="from").new_version().fit(X, X[:, 0]).save()
    assert more.history["loss"][0] < model.history["loss"][0]
    assert more.hash_ != model.hash_


def test_patience_takes_the_best_numbers_back(local: Database):
    """Training stops when the held-out loss gets no better, and the module is as it was at the best epoch."""
    model = net(optimizer="SGD", learning_rate=20.0, epochs=60, patience=3, validation=0.25, clip=5.0).fit(X, WORDS)
    losses = model.history["validation_loss"]
    assert len(losses) == int(np.argmin(losses)) + 1 + 3 or len(losses) == 60
    assert len(losses) < 60


def test_a_step_of_ones_own_and_a_loss_of_ones_own(local: Database):
    """A subclass says what a step is, a function what the loss is; both count, and the lost function is asked for again."""
    one = Denoiser(torch.nn.Linear(4, 4), loss="L1Loss", epochs=2, name="own").fit(X).save()
    assert Denoiser.load(name="own").predict(DATA).shape == (20, 4)
    assert one.params["training_step"].startswith("<function")
    model = (
        TorchModel(Perceptron, arguments={"inputs": 4}, loss=squared_loss, epochs=1, name="loss").fit(X, X[:, 0]).save()
    )
    renewed = TorchModel.load(name="loss").new_version()
    with pytest.raises(ModelError, match=r"set_params\(loss=…\)"):
        renewed.fit(X, X[:, 0])
    assert renewed.set_params(loss=squared_loss).fit(X, X[:, 0])._hash() == model.hash_


def squared_loss(output, target):
    """Return the mean squared error."""
    return ((output - target) ** 2).mean()


MISTAKES = {
    "given the class": (lambda: TorchModel(5), "class of them"),
    "not made with": (lambda: TorchModel(Perceptron, arguments={"width": 3}), "arguments=.*width"),
    "no class": (lambda: TorchModel(torch.nn.ReLU(), arguments={"a": 1}), "no class of modules"),
    "typo": (lambda: net(epoch=3), "epochs"),
    "optimizer": (lambda: net(optimizer="Adma").fit(X, Y), "no optimizer 'Adma'"),
    "loss": (lambda: net(loss="Linear").fit(X, Y), "no loss 'Linear'"),
    "epochs": (lambda: net(epochs=0).fit(X, Y), "epochs is 0"),
    "validation": (lambda: net(validation=0.001).fit(X, Y), "leaves none"),
    "nan": (lambda: net().fit(np.full((9, 4), np.nan), Y[:9]), "loss became nan"),
    "text": (lambda: net().fit(np.full((9, 4), "a"), Y[:9]), "takes numbers"),
    "rows": (lambda: net().fit(X, Y[:9]), "240 rows, but 9 labels"),
    "three": (lambda: net(loss="BCEWithLogitsLoss").fit(X, np.arange(240) % 3), "for two classes"),
    "fit": (lambda: net().fit(X, Y, epochs=3), "fit.. takes no 'epochs'"),
    "unfitted": (lambda: net().predict(X), "not fitted"),
    "regression": (
        lambda: TorchModel(torch.nn.Linear(4, 1), epochs=1).fit(X, Y).predict_proba(X),
        "not fitted on classes",
    ),
    "no data": (lambda: net().fit(), "has no data"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_with_modules_are_told(local: Database, mistake):
    """Each usual mistake is an error that says what is wrong and what to write instead."""
    work, message = MISTAKES[mistake]
    with pytest.raises((ModelError, IdentityError), match=message):
        work()


def test_a_function_is_a_model(database: Database, tmp_path):
    """A function predicts without a fit, with its parameters, here and after loading in another process."""
    model = FunctionModel(rule, params={"limit": 0.5}, name="it").save()
    assert np.array_equal(model.predict(DATA), DATA[:, 0] > 0.5)
    loaded = FunctionModel.load(name="it")
    assert np.array_equal(loaded.predict(DATA), model.predict(DATA))
    assert np.array_equal(loaded.predict(DATA, limit=-9.0), np.ones(20, dtype=bool))
    assert np.array_equal(elsewhere(database, tmp_path, "rows"), model.predict(DATA))
    assert model.hash_ != FunctionModel(rule, name="it").save().hash_


def test_a_function_that_learns(local: Database):
    """What the first function returned is an artifact, which the second one is given; both sources and the data count."""
    model = FunctionModel(guess, fit=middle, params={"factor": 2.0}, name="mean").fit(X, X[:, 0]).save()
    assert model.learned == {"mean": float(X[:, 0].mean()) * 2.0}
    loaded = FunctionModel.load(name="mean")
    assert np.array_equal(loaded.predict(DATA), np.full(20, model.learned["mean"]))
    assert list(loaded.filepaths["learned"]) == ["json"]
    renewed = loaded.new_version().set_params(factor=1.0)
    assert not renewed.is_fitted
    with pytest.raises(ModelError, match="not fitted"):
        renewed.predict(DATA)
    renewed.fit(X, X[:, 0]).save()
    assert renewed.learned["mean"] == float(X[:, 0].mean())
    assert renewed.hash_ != model.hash_
    for wrong in (5, None, dict):
        with pytest.raises(ModelError, match="takes functions"):
            FunctionModel(wrong)


def test_a_function_that_learned_forgets_it_with_another_pipeline(local: Database):
    """A copy that gets another pipeline has to learn anew, as it has to with other parameters."""
    data = PandasDataset(pd.DataFrame({"a": [1.0, 2.0, 3.0]}), name="few").save()
    pipelines = [RandomSplitSklearnPipeline(train_size=size, name="p", dataset=data).fit().save() for size in (1, 2)]
    model = FunctionModel(guess, fit=lambda X: X, pipeline=pipelines[0], name="mean").fit().save()
    copied = model.new_version().add_pipeline(pipelines[1])
    assert not copied.is_fitted
    assert len(copied.fit().learned) == 2


def test_data_without_a_stable_hash_is_named(local: Database):
    """What is given to `fit` and has no content hash is an error that names it, before anything is trained."""
    with pytest.raises(HashingError, match="X, on which"):
        net().fit(iter([1]), Y)


@pytest.mark.parametrize(
    ("library", "make"),
    [
        ("torch", lambda: TorchModel(5)),
        ("xgboost", lambda: XGBoostModel(5)),
        ("lightgbm", lambda: LightGBMModel(5)),
        ("catboost", lambda: CatBoostModel(5)),
    ],
)
def test_a_missing_library_is_told_with_the_pip_line(monkeypatch, library, make):
    """Without the library its model's constructor names the extra that brings it."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'simpleml\[{library}\]'"):
        make()


def test_importing_the_models_imports_no_library():
    """The modules of all these models are imported without XGBoost, LightGBM, CatBoost, torch, keras or numpy."""
    modules = ("catboost", "function", "keras", "keras_sequences", "lightgbm", "torch", "xgboost")
    script = (
        f"import sys; [__import__('simpleml.models.' + name) for name in {modules!r}]\n"
        "heavy = {'catboost', 'lightgbm', 'xgboost', 'torch', 'keras', 'numpy', 'sklearn', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
