from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from simpleml.errors import MissingDependencyError, SerializationError, TrustError, UnknownNameError
from simpleml.hashing import hash_value
from simpleml.save_patterns.catalogue import choose_pattern
from simpleml.save_patterns.serializers.torch import TORCH
from simpleml.save_patterns.trust import Policy
from simpleml.testing.serializers import SerializerContract, WriteOnly
from tests.unit import dumping

dump = partial(dumping.dump, TORCH)


torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self, width=4, depth=2, *, dropout=0.1):
        super().__init__()
        self.width, self.depth, self.dropout = width, depth, dropout
        layers = [
            nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.Dropout(dropout)) for _ in range(depth)
        ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, 1)
        self.register_buffer("mask", torch.ones(3), persistent=False)

    def forward(self, x):
        return self.head(self.body(x))


class Tied(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.init_arguments = {"count": count}
        self.into = nn.Embedding(count, 3)
        self.out = nn.Linear(3, count, bias=False)
        self.out.weight = self.into.weight

    def forward(self, x):
        return self.out(self.into(x))


class Wraps(nn.Module):
    def __init__(self, inner, scale):
        super().__init__()
        self.inner, self.scale = inner, scale


class Hides(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.hidden = nn.Linear(3, hidden)


class Doubles(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale * 2
        self.layer = nn.Linear(2, 2)


class Asks(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        assert self.layer.weight.abs().sum().item() > 0


class NoModule:
    made = 0

    def __init__(self):
        NoModule.made += 1


def changed(module):
    """Return the module with frozen parameters, and a part of it in training."""
    module.eval()
    next(module.parameters()).requires_grad_(False)
    next(module.children()).train()
    return module


def hooked():
    """Return a module with a hook."""
    module = nn.Linear(2, 2)
    module.register_forward_hook(lambda *_: None)
    return module


class TestContract(SerializerContract):
    def serializer(self):
        return TORCH

    def values(self):
        return [
            Net(4, 3),
            changed(Net(3, 1, dropout=0.5)),
            Tied(5),
            Wraps(nn.Conv2d(3, 4, 3, padding=1, bias=False), (1, 2.5)),
            nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU()).double(),
            nn.LSTM(3, 4, num_layers=2),
            nn.GRU(3, 2),
            nn.ModuleDict({"a": nn.MultiheadAttention(8, 2), "b": nn.ModuleList([nn.ReLU()])}),
            nn.ReLU(),
            nn.Linear(2, 2).to(torch.bfloat16),
        ]

    def same(self, left, right):
        flags = [[(name, part.training) for name, part in one.named_modules()] for one in (left, right)]
        trained = [[(name, part.requires_grad) for name, part in one.named_parameters()] for one in (left, right)]
        return (
            type(left) is type(right)
            and repr(left) == repr(right)
            and flags[0] == flags[1]
            and trained[0] == trained[1]
            and hash_value(left) == hash_value(right)
        )

    def refused(self):
        return [b"bytes", Hides(3), Doubles(2), hooked(), {"weight": torch.ones(1)}]

    def large(self):
        return nn.Linear(2500, 2200)


def test_the_module_is_made_again_by_its_class_and_predicts_the_same_bits():
    """The loaded module gives the very numbers, buffers that are not in the state dict included."""
    module = Net(4, 2).eval()
    data, details = dump(module)
    loaded = TORCH.load(data, format=1, details=details)
    x = torch.randn(5, 4)
    assert torch.equal(module(x), loaded(x))
    assert torch.equal(loaded.mask, torch.ones(3))
    assert details["module"] == {
        "class": f"{__name__}:Net",
        "arguments": {name: {"value": one} for name, one in {"width": 4, "depth": 2, "dropout": 0.1}.items()},
    }


def test_tied_parameters_stay_one():
    """What was one parameter under two names is one again: training one of them trains both."""
    loaded = TORCH.load(*dump(Tied(5))[:1], format=1, details=dump(Tied(5))[1])
    assert loaded.out.weight is loaded.into.weight
    assert len(list(loaded.parameters())) == 1


def test_tensors_are_views_of_what_was_read():
    """Loading copies no numbers: changing the bytes changes the module, and they are not made anew in between."""
    data, details = dump(nn.Linear(3, 3))
    loaded = TORCH.load(data, format=1, details=details)
    data[-4:] = np.array([7.0], "f4").tobytes()
    assert 7.0 in {float(one) for one in loaded.bias.detach()} | {float(one) for one in loaded.weight.detach().ravel()}


def test_the_random_numbers_of_the_caller_stay_as_they_are():
    """Neither writing nor reading, which both call `__init__`, draws from torch's global generator."""
    module = Asks()
    before = torch.random.get_rng_state()
    data, details = dump(module)
    TORCH.load(data, format=1, details=details)
    assert torch.equal(before, torch.random.get_rng_state())


def test_reading_passes_the_policy_and_makes_modules_only():
    """Reading is for trusted stores; a class that is no module is never called, the standard library never imported for it."""
    with pytest.raises(TrustError):
        Policy("safe", trusted=frozenset({"default"})).check_reading(TORCH, "default", bytearray())
    with pytest.raises(TrustError):
        Policy().check_reading(TORCH, "default", bytearray())
    data, details = dump(nn.ReLU())
    for path, error in {
        f"{__name__}:NoModule": SerializationError,
        "subprocess:Popen": TrustError,
        "no_such_module_anywhere:Net": UnknownNameError,
        "no path": TrustError,
        5: SerializationError,
    }.items():
        with pytest.raises(error):
            TORCH.load(data, format=1, details={**details, "module": {"class": path, "arguments": {}}})
    assert NoModule.made == 0


def test_what_cannot_be_made_again_is_pickled_unless_asked():
    """A module whose arguments cannot be read off it is not accepted; asked for, the error says both ways out."""
    for value in (Hides(3), Doubles(2), hooked()):
        assert not TORCH.accepts(value)
        assert choose_pattern(value) == "pickled"
        with pytest.raises(SerializationError, match=r"init_arguments.*pickled"):
            dump(value)

    class Local(nn.Module):
        pass

    with pytest.raises(SerializationError, match="top of a module"):
        dump(Local())
    assert choose_pattern(Net()) == "torch"


def test_a_class_that_changed_is_told():
    """A state that no longer fits the class is a `SerializationError`, and says that the numbers can still be read."""
    data, details = dump(Net(4, 2))
    details["module"]["arguments"]["width"] = {"value": 5}
    with pytest.raises(SerializationError, match=r"Its class has changed.*safetensors\.torch"):
        TORCH.load(data, format=1, details=details)


def test_safetensors_alone_reads_the_file(tmp_path):
    """A process without simpleml reads the file as the state dict that `load_state_dict` takes."""
    module = nn.Linear(3, 2)
    (tmp_path / "linear.safetensors").write_bytes(dump(module)[0])
    script = (
        "import sys, torch, safetensors.torch; m = torch.nn.Linear(3, 2)\n"
        "m.load_state_dict(safetensors.torch.load_file('linear.safetensors'))\n"
        "print(m(torch.ones(1, 3)).tolist())\n"
        "assert not [each for each in sys.modules if each.partition('.')[0] == 'simpleml']"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == module(torch.ones(1, 3)).tolist()


def test_missing_torch_is_told_with_the_pip_line(monkeypatch):
    """Without torch both ways name the extra that brings it."""
    data, details = dump(nn.ReLU())
    monkeypatch.setitem(sys.modules, "torch", None)
    for work in (lambda: TORCH.load(data, format=1, details=details), lambda: TORCH.dump(1, WriteOnly())):
        with pytest.raises(MissingDependencyError, match=r"pip install 'simpleml\[torch\]'"):
            work()
