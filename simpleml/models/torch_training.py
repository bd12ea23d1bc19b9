"""The training loop of `TorchModel`: epochs of batches, a validation loss, the best numbers, and nothing left in the caller's seeds."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from simpleml.errors import ModelError
from simpleml.progress import Progress

_Rows: TypeAlias = tuple[Any, Any]  # features, and labels or None


class Stepping(Protocol):
    """What says how far a module is from what it should do."""

    def training_step(self, module: Any, X: Any, y: Any, loss: Any) -> Any:
        """Return the loss of one batch as a tensor of one number; `y` is None without labels."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a training went: the mean loss of each epoch (`validation_loss` if rows were held out), and how many there were."""

    history: dict[str, list[float]] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """How many epochs there were, those after the best one included."""
        return len(self.history.get("loss", ()))


def train(owner: Stepping, module: Any, X: Any, y: Any, held_out: Any, settings: Mapping[str, Any]) -> Course:
    """Train `module` in place and return how that went; it is on the CPU and in evaluation mode afterwards.

    Raises `ModelError` for settings that torch does not know, and as soon as a loss is no finite number.
    """
    import torch

    _check(owner, settings, X, y)
    loss = _loss(owner, torch, settings)
    module.to(settings["device"])
    optimizer = _optimizer(owner, torch, module, settings)
    random = torch.Generator().manual_seed(settings["seed"])
    rows: _Rows = (X, y)
    if held_out is None and settings["validation"]:
        rows, held_out = _set_aside(owner, torch, rows, settings["validation"], random)
    with torch.random.fork_rng(devices=[]), Progress("epochs", settings["epochs"]) as bar:
        torch.manual_seed(settings["seed"])  # dropout draws from it
        try:
            return _run(_Step(owner, module, loss, optimizer, settings), rows, held_out, random, bar)
        finally:
            module.to("cpu").eval().zero_grad(set_to_none=True)


def _run(step: _Step, rows: _Rows, held_out: _Rows | None, random: Any, bar: Progress) -> Course:
    """Go through the epochs; with `patience` the module ends with the numbers of the best one."""
    course, patience, waited = Course(), step.settings["patience"], 0
    best: tuple[float, Any] | None = None
    for epoch in range(step.settings["epochs"]):
        measured = {"loss": _epoch(step, *rows, random, epoch)}
        if held_out is not None:
            measured["validation_loss"] = _measured(step, *held_out)
        for name, number in measured.items():
            course.history.setdefault(name, []).append(number)
        bar.advance()
        if patience is None or held_out is None:
            continue
        if best is None or measured["validation_loss"] < best[0]:
            best, waited = (measured["validation_loss"], copy.deepcopy(step.module.state_dict())), 0
        else:
            waited += 1
            if waited >= patience:
                break
    if best is not None:
        step.module.load_state_dict(best[1])
    return course


def outputs_of(module: Any, X: Any, *, device: str = "cpu", batch_size: int = 1024) -> Any:
    """Return what `module` gives for `X`, batch by batch and without gradients, as one numpy array; it ends on the CPU."""
    import torch

    mode = module.training
    module.to(device).eval()
    try:
        with torch.inference_mode():
            found = [_call(module, part, device).cpu() for part, _ in _batches(X, None, range(_rows(X)), batch_size)]
    finally:
        module.to("cpu").train(mode)
    return torch.cat(found).numpy()


@dataclass(frozen=True, slots=True)
class _Step:
    """What each batch needs."""

    owner: Stepping
    module: Any
    loss: Any
    optimizer: Any
    settings: Mapping[str, Any]


def _epoch(step: _Step, X: Any, y: Any, random: Any, epoch: int) -> float:
    """Go through all rows once and return the mean loss of a row."""
    import torch

    settings, total, rows = step.settings, 0.0, 0
    count = _rows(X)
    order = torch.randperm(count, generator=random) if settings["shuffle"] else torch.arange(count)
    step.module.train()
    for features, labels in _batches(X, y, order, settings["batch_size"], drop_last=settings["drop_last"]):
        step.optimizer.zero_grad(set_to_none=True)
        loss = step.owner.training_step(
            step.module, _moved(features, settings["device"]), _moved(labels, settings["device"]), step.loss
        )
        number = loss.detach().item()
        if not math.isfinite(number):
            raise ModelError(
                f"{step.owner!r}: the loss became {number} in epoch {epoch + 1}: take a smaller learning_rate (it is "
                f"{settings['learning_rate']}), clip=1.0, or look for missing values in the data"
            )
        loss.backward()
        if settings["clip"] is not None:
            torch.nn.utils.clip_grad_norm_(step.module.parameters(), settings["clip"])
        step.optimizer.step()
        total, rows = total + number * _rows(features), rows + _rows(features)
    return total / rows


def _measured(step: _Step, X: Any, y: Any) -> float:
    """Return the mean loss of a row of held-out data."""
    import torch

    total, device = 0.0, step.settings["device"]
    step.module.eval()
    with torch.no_grad():
        for features, labels in _batches(X, y, range(_rows(X)), step.settings["batch_size"]):
            loss = step.owner.training_step(step.module, _moved(features, device), _moved(labels, device), step.loss)
            total += loss.item() * _rows(features)
    return total / _rows(X)


def _batches(X: Any, y: Any, order: Any, size: int, *, drop_last: bool = False) -> Iterator[tuple[Any, Any]]:
    """Yield features and labels of `size` rows after the other; a range is taken as slices, without a copy."""
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        if drop_last and len(chosen) < size and start:
            return
        rows = slice(chosen.start, chosen.stop) if isinstance(chosen, range) else chosen
        yield _taken(X, rows), None if y is None else y[rows]


def _taken(X: Any, rows: Any) -> Any:
    return tuple(part[rows] for part in X) if isinstance(X, tuple) else X[rows]


def _moved(data: Any, device: str) -> Any:
    if isinstance(data, tuple):
        return tuple(part.to(device) for part in data)
    return None if data is None else data.to(device)


def _call(module: Any, X: Any, device: str) -> Any:
    moved = _moved(X, device)
    return module(*moved) if isinstance(moved, tuple) else module(moved)


def _rows(X: Any) -> int:
    return len(X[0]) if isinstance(X, tuple) else len(X)


def _set_aside(owner: object, torch: Any, data: _Rows, share: float, random: Any) -> tuple[_Rows, _Rows]:
    """Return the rows to train on, and a share of them, drawn at random, to validate on."""
    features, labels = data
    count = _rows(features)
    held = round(count * share)
    if not 0 < held < count:
        raise ModelError(f"{owner!r}: validation={share} of {count} rows leaves none to train or to validate on")
    order = torch.randperm(count, generator=random)
    kept, out = order[held:].sort().values, order[:held].sort().values
    parts = (None, None) if labels is None else (labels[kept], labels[out])
    return (_taken(features, kept), parts[0]), (_taken(features, out), parts[1])


def _check(owner: object, settings: Mapping[str, Any], X: Any, y: Any) -> None:
    if type(settings["seed"]) is not int:
        raise ModelError(f"{owner!r}: seed is {settings['seed']!r:.80}, and must be a whole number")
    for name in ("epochs", "batch_size"):
        if type(settings[name]) is not int or settings[name] < 1:
            raise ModelError(f"{owner!r}: {name} is {settings[name]!r:.80}, and must be a whole number of at least 1")
    if not 0 <= settings["validation"] < 1:
        raise ModelError(
            f"{owner!r}: validation is {settings['validation']!r:.80}, and must be a share from 0 to below 1"
        )
    if _rows(X) == 0:
        raise ModelError(f"{owner!r}: there are no rows to fit on")
    if y is not None and len(y) != _rows(X):
        raise ModelError(f"{owner!r}: there are {_rows(X)} rows, but {len(y)} labels")


def _loss(owner: object, torch: Any, settings: Mapping[str, Any]) -> Any:
    loss = settings["loss"]
    if isinstance(loss, str):
        loss = getattr(torch.nn, loss, None)
        if not (isinstance(loss, type) and issubclass(loss, torch.nn.modules.loss._Loss)):  # noqa: SLF001 - the base of losses
            raise ModelError(
                f"{owner!r}: torch.nn has no loss {settings['loss']!r}: take MSELoss, L1Loss, HuberLoss, CrossEntropyLoss, "
                "BCEWithLogitsLoss, …, or give a function of (output, target)"
            )
    return loss(**settings["loss_params"]) if isinstance(loss, type) else loss


def _optimizer(owner: object, torch: Any, module: Any, settings: Mapping[str, Any]) -> Any:
    chosen = settings["optimizer"]
    trained = [one for one in module.parameters() if one.requires_grad]
    if not trained:
        raise ModelError(f"{owner!r}: the module has no parameter that is trained: every one has requires_grad = False")
    if not isinstance(chosen, str):
        return chosen(trained)
    found = getattr(torch.optim, chosen, None)
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise ModelError(
            f"{owner!r}: torch.optim has no optimizer {chosen!r}: take Adam, AdamW, SGD, RMSprop, …, or give a function that makes "
            "one of the parameters"
        )
    return found(trained, lr=settings["learning_rate"], **settings["optimizer_params"])
