"""What `simpleml.hashing` promises of functions and classes: a library's by name, the user's by source."""

from __future__ import annotations

import collections
import functools
import importlib.util
import json
import linecache
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from simpleml.errors import HashingError
from simpleml.hashing import hash_value

ROOT = Path(__file__).resolve().parents[2]

MODULE = '''
import functools

OFFSET = 10

def plain(x, y=1):
    """Doc."""
    return x + y + OFFSET

def maker(n):
    def inner(x):
        return x * n
    return inner

def recursive(n):
    def fact(k):
        return 1 if k < 2 else k * fact(k - 1)
    return fact

def keyword(x, *, k=3):
    return x + k

pair = (lambda x: x + 1), (lambda x: x + 2)
nested = lambda x: (lambda y: x + y)

class Base:
    kind = "base"
    def method(self, x):
        return x
    @classmethod
    def build(cls):
        return cls()
    @property
    def prop(self):
        return 1

class Derived(Base):
    def method(self, x):
        return super().method(x) + 1

def text():
    return """a
    b"""
'''


def load(path: Path, source: str, name: str = "user_module"):
    """Import a user's module from a file of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    linecache.clearcache()
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def modules():
    """Forget the modules that a test loads."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("user_"):
            del sys.modules[name]


NAMES = ["plain", "keyword", "Base", "Derived", "text", "nested"]


def hashes(module):
    """Return the hashes of all that the module defines."""
    found = {name: hash_value(getattr(module, name)) for name in NAMES}
    found |= {f"pair{i}": hash_value(function) for i, function in enumerate(module.pair)}
    found |= {f"maker{n}": hash_value(module.maker(n)) for n in (1, 2)}
    found["recursive"] = hash_value(module.recursive(1))
    found["method"] = hash_value(module.Base().method)
    found["classmethod"] = hash_value(module.Derived.build)
    return found


def test_everything_in_a_module_has_a_hash_of_its_own(tmp_path):
    """Functions, closures over different values, two lambdas on one line, classes and methods all differ."""
    found = hashes(load(tmp_path / "user_module.py", MODULE))
    assert len(set(found.values())) == len(found)


def test_place_does_not_count(tmp_path):
    """Another folder, module name, line or indentation gives the same hashes."""
    first = hashes(load(tmp_path / "user_module.py", MODULE))
    assert hashes(load(tmp_path / "elsewhere" / "user_other.py", "# moved\n\n\n" + MODULE, "user_other")) == first
    indented = "if True:\n" + textwrap.indent(MODULE, "    ")
    third = hashes(load(tmp_path / "user_third.py", indented, "user_third"))
    assert {name for name in first if first[name] != third[name]} == {"text"}  # its literal has other spaces now


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return x + y + OFFSET", "return x - y + OFFSET", {"plain"}),
        ("y=1", "y=2", {"plain"}),
        ("OFFSET = 10", "OFFSET = 11", set()),
        ("k=3", "k=4", {"keyword"}),
        ("x * n", "n * x", {"maker1", "maker2"}),
        ("lambda x: x + 2", "lambda x: x + 3", {"pair1"}),
        ("lambda x: x + 1", "lambda x: x + 4", {"pair0"}),
        ("k * fact", "fact", {"recursive"}),
        ('kind = "base"', 'kind = "other"', {"Base", "Derived", "classmethod"}),
        ("    b", "     b", {"text"}),
        ("x + y)", "x - y)", {"nested"}),
    ],
)
def test_a_change_of_source_changes_what_it_is_the_source_of(tmp_path, old, new, changed):
    """Any change of a definition's text changes its hash and that of what is built on it; globals do not count."""
    first = hashes(load(tmp_path / "one" / "user_module.py", MODULE))
    second = hashes(load(tmp_path / "two" / "user_module.py", MODULE.replace(old, new, 1)))
    assert {name for name in first if first[name] != second[name]} == changed


def test_source_that_is_not_what_runs_is_not_used(tmp_path):
    """A file edited after its import does not change the hash of the code that was imported, but for its form."""
    path = tmp_path / "user_module.py"
    module = load(path, "def f(x):\n    return x + 1\n\nclass C:\n    def m(self):\n        return 1\n")
    path.write_text("def f(x):\n    return x + 2\n\nclass C:\n    def m(self):\n        return 2\n")
    linecache.clearcache()
    stale, stale_class = hash_value(module.f), hash_value(module.C)
    fresh = load(tmp_path / "new" / "user_new.py", path.read_text(), "user_new")
    assert stale != hash_value(fresh.f)
    assert stale_class != hash_value(fresh.C)


def test_code_without_source_is_hashed_by_what_it_does(tmp_path):
    """Functions and classes made by `exec` have hashes that depend on their code alone, not on lines or file names."""

    def make(source, name, file="<nowhere>"):
        scope: dict = {"__name__": "__main__"}
        exec(compile(source, file, "exec"), scope)
        return scope[name]

    one = make("def f(x): return x + 1", "f")
    assert hash_value(one) == hash_value(make("\n\ndef f(x):\n    return x + 1", "f", "<other>"))
    assert hash_value(one) != hash_value(make("def f(x): return x + 2", "f"))
    assert hash_value(one) != hash_value(make("def f(x): return x.a", "f"))
    assert hash_value(make("f = lambda: {1, 2}", "f")) != hash_value(make("f = lambda: {1, 3}", "f"))
    c = make("class C:\n a = 1\n def m(self): return 1", "C")
    assert hash_value(c) == hash_value(make("\nclass C:\n a = 1\n def m(self): return 1", "C"))
    assert hash_value(c) != hash_value(make("class C:\n a = 2\n def m(self): return 1", "C"))
    assert hash_value(c) != hash_value(make("class C:\n a = 1\n def m(self): return 2", "C"))


def test_closures_are_followed():
    """A value that cannot be hashed is found inside a closure, a default and a function's attribute."""
    import threading

    lock = threading.Lock()

    def closing():
        return lock

    def with_default(x=lock):
        return x

    def tagged():
        return 1

    tagged.lock = lock
    for function, path in ((closing, "__closure__"), (with_default, "__defaults__"), (tagged, "lock")):
        with pytest.raises(HashingError, match=path):
            hash_value(function)


def test_functions_that_lead_to_each_other_have_hashes():
    """Mutually recursive closures are hashed, alike from equal copies, and in any order of a dict."""

    def make(n):
        def even(k):
            return k == 0 or odd(k - 1)

        def odd(k):
            return k != 0 and even(k - n)

        return even, odd

    even, odd = make(1)
    again, _ = make(1)
    other, _ = make(2)
    assert hash_value(even) == hash_value(again)
    assert hash_value(even) != hash_value(other)
    assert hash_value({"a": even, "b": odd}) == hash_value({"b": odd, "a": even})
    assert hash_value([even, odd])[:2] == "1:"


def test_libraries_are_known_by_name():
    """Functions and classes of installed libraries hash by qualified name; a user's wrapper around one does not."""
    named = [
        json.dumps,
        json.loads,
        collections.OrderedDict,
        np.mean,
        np.add,
        np.ndarray,
        functools.reduce,
        textwrap.dedent,
    ]
    assert len({hash_value(item) for item in named}) == len(named)

    @functools.wraps(json.dumps)
    def dumps(value):
        return json.dumps(value, indent=1)

    assert hash_value(dumps) != hash_value(json.dumps)


def test_cached_functions_do_not_count_their_cache():
    """A function under `lru_cache` is its source and the cache's size, before and after it was called."""

    @functools.lru_cache(maxsize=3)
    def square(x):
        return x * x

    before = hash_value(square)
    assert square(4) == 16
    assert hash_value(square) == before
    assert hash_value(functools.lru_cache(maxsize=4)(square.__wrapped__)) != before


def test_a_ufunc_that_hides_its_function_is_refused():
    """NumPy's own ufuncs are names; one made from a Python function is an error."""
    with pytest.raises(HashingError, match="ufunc"):
        hash_value(np.frompyfunc(lambda x: x, 1, 1))


def test_a_script_and_its_import_agree(tmp_path):
    """An instance, function and class hash the same in a script run as `__main__` and where the file is imported."""
    script = MODULE + textwrap.dedent(
        """
        class Config:
            def __init__(self):
                self.depth = 3

        def report():
            from simpleml.hashing import hash_value
            return [hash_value(thing) for thing in (Config(), Config, plain, maker(2), pair[0])]

        if __name__ == "__main__":
            print(*report())
        """
    )
    module = load(tmp_path / "user_script.py", script, "user_script")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "user_script.py")],
        env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == module.report()
