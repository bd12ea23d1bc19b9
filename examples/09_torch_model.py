"""Train a PyTorch module, save it, and let a fresh process load it and predict the very same numbers.

What is stored is the state dict in the safetensors format and how the module is made, never a pickle. Everything goes below
SIMPLEML_HOME if that is set, else into a temporary folder. Needs the extras `torch`, `sklearn` and `pandas`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from wines import Network

import simpleml
from simpleml.constants import TEST_SPLIT
from simpleml.datasets import PandasSklearnDataset
from simpleml.metrics import BalancedAccuracyMetric
from simpleml.models import TorchModel
from simpleml.pipelines import RandomSplitSklearnPipeline


def trained(pipeline: RandomSplitSklearnPipeline) -> TorchModel:
    """Return a network that is trained on the TRAIN rows of the pipeline, and saved."""
    model = TorchModel(
        Network,
        arguments={"features": 13, "width": 16, "classes": 3},
        loss="CrossEntropyLoss",
        learning_rate=0.01,
        epochs=100,
        patience=5,  # epochs without a better loss on the VALIDATION rows
        name="wines",
        pipeline=pipeline,
    )
    return model.fit().save()


def main(home: str) -> None:
    """Train, score, save; load in another process, compare."""
    dataset = PandasSklearnDataset(loader="load_wine", name="wines").save()
    pipeline = RandomSplitSklearnPipeline(
        [("scale", StandardScaler())], train_size=0.6, validation_size=0.2, test_size=0.2, name="wines", dataset=dataset
    )
    model = trained(pipeline.fit().save())
    losses = model.history["validation_loss"]
    assert len(losses) == model.state["epochs"]
    assert min(losses) < losses[0] / 2
    print(f"trained   {model}: {len(losses)} epochs, validation loss from {losses[0]:.3f} to {min(losses):.3f}")

    metric = BalancedAccuracyMetric(dataset_split=TEST_SPLIT, model=model).score().save()
    print(f"scored    {metric}: {metric.values}")

    # The numbers of a module that a class makes are drawn from the seed: training it again gives the same ones.
    again = trained(pipeline)
    assert again.hash_ == model.hash_
    assert torch.equal(again.external_model.scores.weight, model.external_model.scores.weight)
    [stored] = model.filepaths["external_model"].values()
    assert stored["serializer"] == "torch"
    print(f"stored    {stored['size']} bytes as {stored['serializer']}")

    with tempfile.TemporaryDirectory() as folder:
        answer = os.path.join(folder, "answer.npy")
        program = [sys.executable, "-W", "error", __file__, str(model.version), answer]
        subprocess.run(program, env={**os.environ, "SIMPLEML_HOME": home}, check=True)  # noqa: S603 - this very file
        elsewhere = np.load(answer)
    here = model.predict_proba(dataset.X)
    assert here.shape == (dataset.row_count, 3)
    assert np.array_equal(elsewhere, here)
    print(f"loaded    in another process, which gives all {here.size} probabilities as they are here")


def predict(version: str, answer: str) -> None:
    """Load a model by its name and version, and all that it was made from, and keep what it predicts; for a new process."""
    model = TorchModel.load("wines", version=int(version))
    assert model.pipeline is not None
    np.save(answer, model.predict_proba(model.pipeline.assert_dataset().X))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        predict(*sys.argv[1:])
    else:
        with tempfile.TemporaryDirectory() as folder:
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", folder)  # torch makes one as soon as there is an optimizer
            home = os.environ.get("SIMPLEML_HOME", folder)
            simpleml.connect(home=home)
            main(home)
            simpleml.disconnect()
