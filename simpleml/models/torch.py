"""`TorchModel`: any PyTorch module, as a model, with a training loop of its own."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from simpleml.errors import MissingDependencyError, ModelError
from simpleml.models.network import NetworkModel, array_of
from simpleml.models.torch_training import Course, outputs_of, train
from simpleml.save_patterns.serializers.torch_modules import ARGUMENTS
from simpleml.types import JSON

_OF_CLASSES = ("CrossEntropyLoss", "NLLLoss")
_OF_TWO = ("BCEWithLogitsLoss", "BCELoss")


class TorchModel(NetworkModel):
    """A PyTorch module with a name and versions: `TorchModel(Net, arguments={"width": 32}, loss="CrossEntropyLoss")`.

    Of a class a new module is made for each fit, its numbers drawn from the `seed`: `hash_` covers the class (the source of a
    user's own), the arguments and the settings. A module that was made before is where training starts; its numbers count,
    too. Equal seeds give equal numbers on one machine with one number of threads; the caller's random numbers stay as they
    are. What is stored is the state dict in the safetensors format and how the module is made, never a pickle; a module whose
    class or arguments no other process finds (of a notebook, say) is pickled. The optimizer's state is not kept.

    With a loss of classes (`CrossEntropyLoss`, `NLLLoss`, and of two `BCEWithLogitsLoss`, `BCELoss`) labels may be of any
    kind, `predict` returns labels and `predict_proba` probabilities; with others `predict` returns what the module does.
    """

    SETTINGS: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "loss": "MSELoss",  # of torch.nn, or a function of (output, target)
            "loss_params": {},
            "optimizer": "Adam",  # of torch.optim, or a function of the parameters
            "learning_rate": 0.001,
            "optimizer_params": {},
            "epochs": 10,
            "batch_size": 32,
            "shuffle": True,
            "drop_last": False,  # the last batch of an epoch, if it is short: batch norm has no variance of one row
            "validation": 0.0,  # share of the rows that is set aside, if the pipeline has no VALIDATION split
            "patience": None,  # epochs without a better validation loss after which the best numbers are taken
            "clip": None,  # the largest norm of the gradient
            "seed": 0,
            "dtype": "float32",  # of features that are no tensors
            "device": "cpu",
        }
    )
    MACHINE: ClassVar[frozenset[str]] = frozenset({"device"})

    def __init__(
        self,
        module: Any = None,
        /,
        *,
        arguments: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **identity: Any,
    ) -> None:
        """Take a module, or a class of modules and the `arguments` that it is made with; settings as keywords or `params`."""
        external = identity.pop("external_model", None) if module is None else module
        self._start_network(params, identity)
        torch = _torch()
        if isinstance(external, type) and issubclass(external, torch.nn.Module):
            self.config["made_by_class"] = True
            external = self._made(external, dict(arguments or {}))
        elif arguments is not None:
            raise ModelError(
                f"arguments={{…}} are what a class is made with, and {external!r:.80} is no class of modules: give the class"
            )
        self._take(self._checked(external), None)

    def training_step(self, module: Any, X: Any, y: Any, loss: Any) -> Any:
        """Return the loss of one batch as a tensor of one number; a hook for subclasses. `y` is None without labels."""
        output = module(*X) if isinstance(X, tuple) else module(X)
        return loss(_aligned(output, y), y)

    def predict(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return the label of each row if it was fitted on classes, else the module's output, as numpy arrays."""
        if self.classes_ is None:
            return _column(self._outputs(X, transform, "predict()", params))
        probabilities = self.predict_proba(X, transform, **params)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return the probability of each class, one row for each row of `X`; columns are in the order of `classes_`."""
        import numpy as np

        if self.classes_ is None:
            raise ModelError(
                f"{self!r} was not fitted on classes, so it has no predict_proba(): that takes one of the losses "
                f"{', '.join((*_OF_CLASSES, *_OF_TWO))}"
            )
        outputs = self._outputs(X, transform, "predict_proba()", params)
        loss = self._settings["loss"]
        if loss in _OF_CLASSES:
            shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            return shifted / shifted.sum(axis=1, keepdims=True)
        positive = _column(outputs) if loss == "BCELoss" else 1.0 / (1.0 + np.exp(-_column(outputs)))
        return np.stack([1.0 - positive, positive], axis=1)

    def _outputs(self, X: Any, transform: bool, call: str, params: Mapping[str, Any]) -> Any:
        """Return what the module gives for `X`, batch by batch, as one array."""
        if not self.is_fitted:
            self._refuse_unfitted(call)
        features = self._features(self._transformed(X, transform))
        return outputs_of(self.external_model, features, device=self._settings["device"], **params)

    # the hooks of Model

    def _checked(self, external: Any) -> Any:
        if isinstance(external, _torch().nn.Module):
            return external
        raise ModelError(
            f"{type(self).__name__} takes a torch.nn.Module or a class of them, but was given {external!r:.80} "
            f"({type(external).__name__}): write {type(self).__name__}(Net, arguments={{…}})"
        )

    def _unfitted(self, external: Any) -> Any:
        if self.config.get("made_by_class"):
            return self._made(type(external), dict(vars(external)[ARGUMENTS]))
        return copy.deepcopy(external)

    def _made(self, cls: Any, arguments: dict[str, Any]) -> Any:
        """Return a new module whose numbers are drawn from the seed; the random numbers of the caller stay as they were."""
        torch = _torch()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._setting("seed"))
            try:
                module = cls(**arguments)
            except TypeError as error:
                raise ModelError(f"{cls.__name__} is not made with arguments={arguments!r:.200}: {error}") from error
        setattr(module, ARGUMENTS, arguments)
        return module

    def _params_of(self, external: Any) -> dict[str, Any]:
        made = self.config.get("made_by_class")
        what = {"arguments": vars(external)[ARGUMENTS]} if made else {"module": external}
        step = getattr(type(self), "training_step", None)
        own = {} if step is TorchModel.training_step else {"training_step": step}
        return {**what, **own, **self._trained_by()}

    def _fit_external(self, external: Any, X: Any, y: Any, validation: Any, **fit_params: Any) -> Any:
        if fit_params:
            raise ModelError(
                f"{self!r}: fit() takes no {next(iter(fit_params))!r}; parameters of the training are given when the model is made, "
                "or by set_params(…)"
            )
        settings = {name: self._setting(name) for name in self.SETTINGS}
        self._classes = None
        features, labels = self._features(X), self._labels(y, first=True)
        held_out = None
        if validation is not None:
            held_out = (self._features(validation["X"]), self._labels(_section(validation, "y"), first=False))
        course = train(self, external, features, labels, held_out, settings)
        self._remember(course)
        return external

    def _remember(self, course: Course) -> None:
        self.state["history"] = course.history
        self.state["epochs"] = course.epochs

    def _features(self, data: Any) -> Any:
        """Return features as a tensor, or as a tuple of tensors for a module of several inputs; tensors stay what they are."""
        torch = _torch()
        if isinstance(data, tuple):
            return tuple(self._features(part) for part in data)
        if isinstance(data, torch.Tensor):
            return data
        array = array_of(data)
        if array.dtype.kind not in "fiub":
            raise ModelError(
                f"{self!r} takes numbers, and the features are of dtype {array.dtype}: encode what is no number in a pipeline"
            )
        return torch.from_numpy(array.astype(self._setting("dtype")))

    def _labels(self, data: Any, *, first: bool) -> Any:
        """Return labels as a tensor of what the loss takes: numbers of classes, or floats."""
        torch = _torch()
        loss = self._setting("loss")
        if data is None:
            return None
        if isinstance(data, torch.Tensor) and loss not in (*_OF_CLASSES, *_OF_TWO):
            return data
        labels = array_of(data)
        if loss not in (*_OF_CLASSES, *_OF_TWO):
            return torch.from_numpy(labels.astype(self._setting("dtype")))
        codes = self._encoded(labels) if first else self._coded(labels)
        if loss in _OF_CLASSES:
            return torch.from_numpy(codes.astype("int64"))
        if len(self._classes) > 2:
            raise ModelError(
                f"{self!r}: {loss} is for two classes, and there are {len(self._classes)}: take CrossEntropyLoss"
            )
        return torch.from_numpy(codes.astype(self._setting("dtype")))

    def _features_of(self, external: Any) -> dict[str, JSON]:
        count = sum(one.numel() for one in external.parameters())
        return {**super()._features_of(external), "parameters": int(count)}


def _aligned(output: Any, y: Any) -> Any:
    """Return an output of one column as that column if the labels are one, which would be broadcast to a square otherwise."""
    if y is not None and output.ndim == y.ndim + 1 and output.shape[-1] == 1:
        return output.squeeze(-1)
    return output


def _column(outputs: Any) -> Any:
    return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs


def _section(split: Any, name: str) -> Any:
    from simpleml.models.training import column_of

    return column_of(split.get(name))


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            "TorchModel needs torch: pip install 'simpleml[torch]' (for this machine's hardware, see pytorch.org) "
            f"({str(error)[:200]})"
        ) from error
    return torch
