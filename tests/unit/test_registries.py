"""What `Registry` and `find_class` promise: one order, loud duplicates, and no import that the user did not allow."""

import importlib
import os
import random
import string
import subprocess
import sys
import threading
from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest

from simpleml.errors import (
    DuplicateNameError,
    MissingDependencyError,
    RegistryError,
    SimpleMLError,
    TrustError,
    UnknownNameError,
)
from simpleml.registries import Registry, class_path, find_class, same_definition

ROOT = Path(__file__).parents[2]


class Known:
    """A class to register."""

    class Inner:
        """A class inside a class."""


class Other:
    """Another class."""


def defined(code, name, module="a_notebook"):
    """Run a cell of `module` and return what it defines as `name`."""
    space = {"__name__": module}
    exec(code, space)
    return space[name]


@pytest.fixture
def registry():
    """An empty registry."""
    return Registry("thing")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on `sys.path` into which modules are written; what is imported from it is forgotten at the end."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def distribution(site, name, group, /, **points):
    """Install a distribution that offers these entry points."""
    folder = site / f"{name}-1.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (folder / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    importlib.invalidate_caches()


# ---------------------------------------------------------------------------------------------------- names


def test_register_and_get(registry):
    """What is registered, by call or as a decorator, is returned and had by its name."""
    assert registry.register("known", Known) is Known

    @registry.register("decorated")
    class Decorated:
        """Registered where it is defined."""

    assert registry.get("known") is Known
    assert registry.get("decorated") is Decorated
    assert registry.names() == list(registry) == ["decorated", "known"]
    assert dict(registry.items()) == registry.live() == {"known": Known, "decorated": Decorated}
    assert "known" in registry
    assert "none" not in registry


@pytest.mark.parametrize("name", ["", None, 3])
def test_impossible_names(registry, name):
    """Only a text that is not empty can be a name."""
    with pytest.raises(RegistryError, match="cannot name a thing"):
        registry.register(name, Known)


@pytest.mark.parametrize("name", ["knwon", "", None, "x" * 1000])
def test_unknown_name(registry, name):
    """An unknown name raises a short error that lists the known names, the nearest one pointed out."""
    registry.register("known", Known)
    with pytest.raises(UnknownNameError, match="known: known") as caught:
        registry.get(name)
    assert ("did you mean 'known'?" in str(caught.value)) == (name == "knwon")
    assert len(str(caught.value)) < 200


def test_drop(registry):
    """A dropped name is unknown, may be taken by another, and cannot be dropped twice."""
    registry.register("known", Known)
    registry.drop("known")
    assert "known" not in registry
    with pytest.raises(UnknownNameError, match="to drop"):
        registry.drop("known")
    assert registry.register("known", Other) is Other


# ---------------------------------------------------------------------------------------------------- duplicates


def test_same_class_again_replaces_silently(registry):
    """A notebook cell that is run again replaces its class: at top level, nested, and inside a function."""
    for code, name in [
        ("class Model: pass", "Model"),
        ("class Outer:\n  class Model: pass\nModel = Outer.Model", "Model"),
        ("def f():\n  class Model: pass\n  return Model\nModel = f()", "Model"),
        ("def step(): pass", "step"),
    ]:
        first, second = defined(code, name), defined(code, name)
        assert first is not second
        registry.register(code, first)
        registry.register(code, second)
        assert registry.get(code) is second


def test_local_class_of_another_function_is_the_same(registry):
    """Of classes made inside functions the module and the name alone decide, so a renamed test function does no harm."""
    one = defined("def f():\n  class Model: pass\n  return Model\nModel = f()", "Model")
    two = defined("def g():\n  class Model: pass\n  return Model\nModel = g()", "Model")
    assert same_definition(one, two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Known, Other),
        (Known, defined("class Known: pass", "Known")),
        (Known.Inner, defined("class Inner: pass", "Inner", module=__name__)),
        (defined("f = lambda: 1", "f"), defined("f = lambda: 2", "f")),
        (Known(), Known()),
        (partial(max, 1), partial(max, 1)),
        (Known().__init__, Known().__init__),
        (
            defined("def f():\n  class Known: pass\n  return Known\nKnown = f()", "Known", module=__name__),
            Known,
        ),
    ],
)
def test_a_different_thing_under_a_taken_name_is_refused(registry, one, two):
    """Another class, lambda or instance cannot take a name; the error shows both places and the ways out."""
    registry.register("name", one)
    with pytest.raises(DuplicateNameError) as caught:
        registry.register("name", two)
    assert all(
        part in str(caught.value) for part in ("'name'", "registered_name", "context_register", "overwrite=True")
    )
    assert registry.get("name") is one
    registry.register("name", two, overwrite=True)
    assert registry.get("name") is two


def test_duplicate_names_both_places(registry):
    """The error about a taken name tells where either class is defined."""
    registry.register("name", Known)
    with pytest.raises(DuplicateNameError) as caught:
        registry.register("name", defined("class Model: pass", "Model"))
    assert f"{__name__}:Known" in str(caught.value)
    assert "a_notebook:Model" in str(caught.value)


def test_own_sameness():
    """A registry of values may say itself which are the same."""
    registry = Registry("number", same=lambda one, other: one == other)
    registry.register("one", 1.0)
    registry.register("one", 1.0)
    with pytest.raises(DuplicateNameError):
        registry.register("one", 2.0)


# ---------------------------------------------------------------------------------------------------- in a context


def test_context_register(registry):
    """A thing stands in for another, or for none, during a block, also one that raises."""
    registry.register("known", Known)
    with registry.context_register("known", Other) as thing, registry.context_register("new", Known):
        assert thing is registry.get("known") is Other
        assert registry.live() == {"known": Other, "new": Known}
        assert registry.names() == ["known", "new"]
        with registry.context_register("known", Known.Inner):
            assert registry.get("known") is Known.Inner
        assert registry.get("known") is Other
    assert registry.live() == {"known": Known}
    with pytest.raises(ZeroDivisionError), registry.context_register("known", Other):
        raise ZeroDivisionError
    assert registry.get("known") is Known


def test_contexts_that_overlap(registry):
    """Blocks of two threads that end in the order in which they began leave what was there before."""
    registry.register("known", Known)
    first, second = registry.context_register("known", Other), registry.context_register("known", Known.Inner)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert registry.get("known") is Known.Inner
    second.__exit__(None, None, None)
    assert registry.get("known") is Known


# ---------------------------------------------------------------------------------------------------- found late


def test_known_path_is_imported_when_asked_for(site):
    """A known path is a name from the start and is imported by `get` only; its own registration is no duplicate."""
    (site / "late_one.py").write_text(
        "import late_registry\nclass Late: pass\nlate_registry.R.register('late', Late)\n"
    )
    (site / "late_registry.py").write_text(
        "from simpleml.registries import Registry\nR = Registry('thing', known={'late': 'late_one:Late'})\n"
    )
    registry = importlib.import_module("late_registry").R
    assert "late" in registry
    assert registry.names() == ["late"]
    assert registry.live() == {}
    assert "late_one" not in sys.modules
    assert registry.get("late").__module__ == "late_one"
    assert registry.get("late") is sys.modules["late_one"].Late


def test_known_name_is_taken():
    """A name with a known path cannot be taken by another thing, although nothing is imported yet."""
    registry = Registry("thing", known={"late": "no_such_module:Late"})
    with pytest.raises(DuplicateNameError, match="no_such_module:Late"):
        registry.register("late", Known)
    registry.register("late", Known, overwrite=True)
    assert registry.get("late") is Known


@pytest.mark.parametrize("path", ["no_such_module:Late", "json:no_such_attribute"])
def test_known_path_that_fails(path):
    """A known path that cannot be imported raises an error with name, path and cause."""
    with pytest.raises(RegistryError, match=path) as caught:
        Registry("thing", known={"late": path}).get("late")
    assert isinstance(caught.value.__cause__, ImportError | AttributeError)


def test_missing_dependency_passes_through(site):
    """An error that already teaches (an extra is not installed) comes to the caller as it is."""
    (site / "needs_extra.py").write_text(
        "from simpleml.errors import MissingDependencyError\nraise MissingDependencyError('pip install it')\n"
    )
    with pytest.raises(MissingDependencyError, match=r"^pip install it$"):
        Registry("thing", known={"late": "needs_extra:Late"}).get("late")
    with pytest.raises(MissingDependencyError, match=r"^pip install it$"):
        find_class("needs_extra:Late", project=site)


def test_entry_points(site):
    """A distribution's entry point is a name, is loaded on demand, and comes last: live and known names win."""
    (site / "third_party.py").write_text("class A: pass\nclass B: pass\n")
    registry = Registry("thing", known={"b": f"{__name__}:Known"}, entry_points="simpleml.test_things")
    assert registry.names() == ["b"]
    distribution(site, "third", "simpleml.test_things", a="third_party:A", b="third_party:B")
    sys.path.append(str(site / "elsewhere"))  # a changed path is looked at again
    assert registry.names() == ["a", "b"]
    assert "a" in registry
    assert "third_party" not in sys.modules
    assert registry.get("a") is sys.modules["third_party"].A
    assert registry.register("c", Known) is Known
    assert Registry("thing", entry_points="simpleml.test_things").get("b") is sys.modules["third_party"].B


def test_live_name_wins_over_known_path_and_entry_point(site):
    """The order is: live name, known path, entry point."""
    distribution(site, "third", "simpleml.test_order", name="json:JSONDecoder")
    registry = Registry("thing", entry_points="simpleml.test_order")
    assert registry.get("name").__name__ == "JSONDecoder"
    known = Registry("thing", known={"name": "json:JSONEncoder"}, entry_points="simpleml.test_order")
    assert known.get("name").__name__ == "JSONEncoder"
    live = Registry("thing", entry_points="simpleml.test_order")
    live.register("name", Known)
    assert live.get("name") is Known


def test_entry_point_that_fails_names_its_distribution(site):
    """An entry point that cannot be loaded raises an error with distribution, path and cause."""
    (site / "broken_party.py").write_text("1 / 0\n")
    distribution(site, "broken", "simpleml.test_broken", a="broken_party:A")
    with pytest.raises(RegistryError, match=r"broken_party:A.*distribution broken 1\.5.*ZeroDivisionError") as caught:
        Registry("thing", entry_points="simpleml.test_broken").get("a")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_two_distributions_under_one_name(site):
    """A name that two distributions offer is refused with both; the same path twice is one."""
    distribution(site, "one", "simpleml.test_two", a="json:JSONEncoder", same="json:JSONEncoder")
    distribution(site, "two", "simpleml.test_two", a="json:JSONDecoder", same="json:JSONEncoder")
    registry = Registry("thing", entry_points="simpleml.test_two")
    with pytest.raises(DuplicateNameError, match=r"distribution one 1\.5.*distribution two 1\.5|two.*one"):
        registry.get("a")
    assert registry.get("same").__name__ == "JSONEncoder"


def test_threads(site):
    """Threads that register, look up, import and override at once meet no error and one and the same thing."""
    (site / "slow_one.py").write_text(
        "import time, slow_registry\ntime.sleep(0.05)\nclass Slow: pass\nslow_registry.R.register('slow', Slow)\n"
    )
    (site / "slow_registry.py").write_text(
        "from simpleml.registries import Registry\nR = Registry('thing', known={'slow': 'slow_one:Slow'})\n"
    )
    registry = importlib.import_module("slow_registry").R
    got, failed = [], []
    start = threading.Barrier(8)

    def work(number):
        try:
            start.wait()
            for turn in range(50):
                registry.register(f"{number}.{turn}", Known)
                with registry.context_register("shared", number):
                    registry.get("shared")
                    registry.names()
            got.append(registry.get("slow"))
        except Exception as error:  # handed to the assertion below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(got) == 8
    assert set(got) == {sys.modules["slow_one"].Slow}
    assert "shared" not in registry
    assert len(registry.names()) == 8 * 50 + 1


# ---------------------------------------------------------------------------------------------------- find_class


@pytest.fixture
def project(site):
    """A project with a package; importing `marked` leaves a mark."""
    package = site / "own_project"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "sub" / "__init__.py").write_text("")
    (package / "sub" / "models.py").write_text(
        "from subprocess import Popen\nfrom own_project.other import Moved\n"
        "value = 3\ndef function(): pass\n"
        "class Model:\n  class Inner: pass\n  attribute = 3\n"
        "def __getattr__(name):\n  raise AttributeError if name.startswith('__') else SystemExit('a hook ran')\n"
    )
    (package / "other.py").write_text("class Moved: pass\n")
    (package / "broken.py").write_text("import no_such_module_at_all\n")
    (package / "__main__.py").write_text("raise SystemExit('ran as a script')\n")
    importlib.invalidate_caches()
    return site


def test_find_class_in_the_project(project):
    """A class of the running project is imported by its path, also a nested one and one that moved within it."""
    find = partial(find_class, project=project)
    model = find("own_project.sub.models:Model")
    assert model is sys.modules["own_project.sub.models"].Model
    assert find("own_project.sub.models:Model.Inner") is model.Inner
    assert find("own_project.sub.models:Moved") is sys.modules["own_project.other"].Moved
    assert find(class_path(model)) is model


def test_project_is_the_script_folder_and_the_working_folder(project, tmp_path_factory):
    """Without a given project, the running script's folder, the folder of a `-m` package, and the working folder count."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    look = "from simpleml.registries import find_class\nprint(find_class('own_project.sub.models:Model').__name__)\n"
    (project / "script.py").write_text(look)
    (project / "own_project" / "sub" / "tool.py").write_text(look)
    environ = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{project}"}
    for arguments, folder in [
        ([str(project / "script.py")], elsewhere),
        (["-m", "own_project.sub.tool"], elsewhere),
        (["-c", look], project),
    ]:
        run = [sys.executable, *arguments]
        done = subprocess.run(run, cwd=folder, env=environ, capture_output=True, text=True, check=True)
        assert done.stdout == "Model\n"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=elsewhere, env=environ, capture_output=True, text=True, check=False
    )
    assert "TrustError" in done.stderr
    assert "import_packages" in done.stderr


def test_find_class_of_an_installed_distribution():
    """A class of an installed distribution, and of this package, is found; packages given alone decide."""
    assert find_class("blake3:blake3").__name__ == "blake3"
    assert find_class("simpleml.registries:Registry", packages=()) is Registry
    assert find_class("blake3:blake3", packages=("blake3",)).__name__ == "blake3"
    with pytest.raises(TrustError, match=r"import_packages \(numpy, blake\)"):
        find_class("blake3:blake3", packages=("numpy", "blake"))


def test_packages_allow_what_is_below_them(project):
    """A dotted package allows itself and what is below it, and nothing beside it."""
    allowed = ("own_project.sub",)
    assert find_class("own_project.sub.models:Model", packages=allowed).__name__ == "Model"
    with pytest.raises(TrustError, match="import_packages"):
        find_class("own_project.other:Moved", packages=allowed)
    with pytest.raises(TrustError, match="import_packages"):
        find_class("own_project.sub.models:Moved", packages=allowed)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("own_project.sub.models:Popen", TrustError),  # a class of the standard library by a detour
        ("own_project.sub.models:value", TrustError),
        ("own_project.sub.models:function", TrustError),
        ("own_project.sub.models:function.Inner", TrustError),
        ("own_project.sub.models:Model.attribute", TrustError),
        ("own_project.sub.models:Model.mro", UnknownNameError),  # of its metaclass, not of its own
        ("own_project.sub.models:Missing", UnknownNameError),  # and the module's __getattr__ does not run
        ("own_project.sub.models:Model.Missing", UnknownNameError),
        ("own_project.sub.missing:Model", UnknownNameError),
        ("own_project.sub.models.deeper:Model", UnknownNameError),
        ("own_project.__main__:Model", TrustError),
        ("own_project.broken:Model", RegistryError),
        ("no_such_module_at_all:Model", UnknownNameError),
        ("no_such_module_at_all.sub:Model", UnknownNameError),
        ("simpleml.registries:Path", TrustError),
        ("simpleml.registries:os.system", TrustError),
        ("simpleml:connect", TrustError),  # a module of ours makes what it offers late, but only a class will do
        ("simpleml.models:SklearnNothing", UnknownNameError),
    ],
)
def test_find_class_refuses(project, path, error):
    """What is no class, does not exist, fails to import or comes from a forbidden place has an error of its own kind."""
    with pytest.raises(error) as caught:
        find_class(path, project=project)
    assert type(caught.value) is error
    assert path in str(caught.value)


REFUSED = [
    "os:system",
    "os:_Environ",
    "antigravity:x",
    "this:s",
    "test.regrtest:X",
    "idlelib.idle:X",
    "../x",
    "../x:y",
    "./x:Y",
    "/etc/passwd:X",
    ".models:Model",
    "..models:Model",
    "a.b:c.__init__.__globals__",
    "simpleml.registries:Registry.__init__.__globals__",
    "simpleml.registries:Registry.__class__",
    "__main__:Model",
    "simpleml.__main__:Model",
    "pip.__main__:X",
    "builtins:object",
    "subprocess:Popen",
    "importlib:import_module",
    "json.decoder:JSONDecoder",
    "a:b:c",
    "a:",
    ":b",
    ":",
    "",
    "a",
    "a..b:c",
    "a.:c",
    "a:c.",
    "a:<lambda>",
    "f.<locals>.C:C",
    "a:f.<locals>.C",
    "a\n:b",
    "a:b\n",
    "a\0:b",
    "ｏｓ:system",
    "a:ｂ",
    "a b:c",
    "a;b:c",
    "a/b:c",
    "a\\b:c",
    "%6fs:system",
    "x" * 2000 + ":Y",
    None,
    3,
    b"os:system",
    ["os:system"],
    ("os", "system"),
]


class Imports:
    """Watches what is imported, opened as a module or executed while it is on."""

    def __init__(self):
        self.on = False
        self.seen = []
        sys.addaudithook(self.hear)

    def hear(self, event, arguments):
        if self.on and (
            event in {"import", "exec", "compile", "marshal.loads"}
            or (event == "open" and str(arguments[0]).endswith((".py", ".pyc", ".so")))
        ):
            self.seen.append((event, str(arguments[:1])[:200]))


WATCH = Imports()


def watched(path, **allowed):
    """Ask for `path` and return the error; what is imported meanwhile goes to `WATCH`."""
    WATCH.on = True
    try:
        find_class(path, **allowed)
    except SimpleMLError as error:
        return error
    finally:
        WATCH.on = False
    return None


def odd_paths(count):
    """Yield paths built at random, most of them almost right."""
    chance = random.Random(20)
    modules = sorted(sys.stdlib_module_names | {"test", "no_such", "__main__", "..", "", "planted", "os.path", "a-b"})
    attributes = ["x", "Popen", "system", "__class__", "a.b", "__init__.__globals__", "", "<lambda>", "__dict__"]
    for number in range(count):
        if number % 3 == 0:
            length = chance.randrange(1, 30)
            yield "".join(chance.choice(string.printable + "éｏ\0") for _ in range(length))
        else:
            depth = chance.randrange(1, 4)
            yield ".".join(chance.choice(modules) for _ in range(depth)) + ":" + chance.choice(attributes)


def test_refused_names_import_nothing(site, tmp_path_factory, monkeypatch):
    """No refused name, of those listed and of thousands made at random, imports, opens or runs any module."""
    (site / "planted.py").write_text("raise SystemExit('planted code ran')\n")
    project = tmp_path_factory.mktemp("project")
    monkeypatch.chdir(project)
    watched("no_such_module_at_all:X", project=project)  # the look-ups themselves are imported by now
    before = set(sys.modules)
    WATCH.seen.clear()
    for path in REFUSED:
        assert type(watched(path, project=project)) is TrustError, path
        assert type(watched(path, packages=("own", "xyz"))) is TrustError, path
    assert type(watched("planted:X", project=project)) is TrustError
    for path in odd_paths(4000):
        assert isinstance(watched(path, project=project), TrustError | UnknownNameError), path
    assert WATCH.seen == []
    assert set(sys.modules) == before


def test_the_watch_sees_an_import(project):
    """The same watch reports an allowed import, so its silence about the refused ones means something."""
    WATCH.seen.clear()
    assert watched("own_project.other:Moved", project=project) is None
    assert any("own_project" in told for _, told in WATCH.seen)


def test_python_itself_is_never_part_of_a_project():
    """A project folder that contains Python, such as /, allows nothing of the standard library."""
    for path in ("test.support:X", "this:X", "os:_Environ"):
        with pytest.raises(TrustError):
            find_class(path, project=Path("/"))
    assert "this" not in sys.modules


def test_a_project_file_named_like_python(site):
    """A module of the project that has the name of one of Python's is not imported in its place."""
    (site / "antigravity.py").write_text("class X: pass\n")
    with pytest.raises(TrustError, match="belongs to Python itself"):
        find_class("antigravity:X", project=site)
    assert "antigravity" not in sys.modules


def test_modules_made_by_hand_are_not_trusted(monkeypatch):
    """A module without a spec, put into `sys.modules` by hand, is refused and does not crash the look-up."""
    monkeypatch.setitem(sys.modules, "made_by_hand", type(sys)("made_by_hand"))
    with pytest.raises(TrustError, match="neither installed nor part of the running project"):
        find_class("made_by_hand:X")


def test_class_path():
    """A class has a path if another process can find it by one: not in `__main__`, not inside a function."""
    assert class_path(OrderedDict) == "collections:OrderedDict"
    assert class_path(Known.Inner) == f"{__name__}:Known.Inner"
    assert class_path(defined("class Model: pass", "Model", module="__main__")) is None
    assert class_path(defined("def f():\n  class M: pass\n  return M\nM = f()", "M")) is None
