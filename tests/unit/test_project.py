"""What holds for the whole project, whoever wrote the file."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "simpleml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

Rule = Callable[[str], list[str]]
"""Source of one module → what breaks the rule in it, each with its line number."""


def _modules() -> dict[str, str]:
    """Path relative to the package → source, of every module."""
    return {str(path.relative_to(PACKAGE)): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


def _tests() -> dict[str, str]:
    """Path relative to the root → source, of every file of tests."""
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))}


def _broken(rule: Rule, files: dict[str, str]) -> list[str]:
    return [f"{name}:{fault}" for name, source in files.items() for fault in rule(source)]


def _name(node: ast.expr) -> str:
    """Return `a.b.c` for the expression of that form, an empty string for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _name(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def _resolver(tree: ast.AST) -> Callable[[ast.expr], str]:
    """Return a function from an expression to its full dotted name, seen through the module's imports."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {each.asname: each.name for each in node.names if each.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            known |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}

    def resolve(expression: ast.expr) -> str:
        head, dot, rest = _name(expression).partition(".")
        return known.get(head, head) + dot + rest

    return resolve


def undocumented(source: str) -> list[str]:
    """The module, and its public classes, functions and methods, that have no docstring."""
    tree = ast.parse(source)
    faults = [] if ast.get_docstring(tree) else ["1: the module"]

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            # An overload, a setter and an override are documented where the thing itself is.
            marks = {_name(mark).rpartition(".")[2] for mark in node.decorator_list}
            if not ast.get_docstring(node) and marks.isdisjoint({"overload", "setter", "deleter", "override"}):
                faults.append(f"{node.lineno}: {prefix}{node.name}")
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}{node.name}.")

    look(tree.body, "")
    return faults


def swallowing(source: str) -> list[str]:
    """Handlers of every exception that neither raise nor say, by `# noqa: BLE001 - reason`, why not."""
    lines = source.splitlines()
    faults = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = any(kind is None or _name(kind) in {"Exception", "BaseException"} for kind in kinds)
        raises = any(isinstance(each, ast.Raise) for statement in node.body for each in ast.walk(statement))
        explained = re.search(r"# noqa: BLE001 - \w+", lines[node.lineno - 1])
        if broad and not raises and not explained:
            faults.append(f"{node.lineno}: {lines[node.lineno - 1].strip()}")
    return faults


UNPICKLERS = re.compile(
    r"((_?pickle|cloudpickle|dill)\.(loads?|_loads?|_?Unpickler)"
    r"|(joblib|torch|skops\.io)\.loads?|(pandas|pd)\.read_pickle|shelve\.open|marshal\.loads?)"
)


def unpickling(source: str) -> list[str]:
    """Whatever can read a pickle: the functions themselves, even if only named, and arrays of objects."""
    tree = ast.parse(source)
    resolve = _resolver(tree)
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and UNPICKLERS.fullmatch(resolve(node)):
            faults.append(f"{node.lineno}: {resolve(node)}")
        if isinstance(node, ast.Call):
            faults += [
                f"{node.lineno}: allow_pickle"
                for keyword in node.keywords
                if keyword.arg == "allow_pickle"
                and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
                # `save` writes with it, which reads nothing.
                and not resolve(node.func).endswith(("save", "write_array"))
            ]
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if resolve(node.func).endswith(("import_module", "__import__")):
                faults += [f"{node.lineno}: {name}" for name in names if name in {"pickle", "_pickle", "dill"}]
    return faults


def composed_sql(source: str) -> list[str]:
    """Statements for `text`, `exec_driver_sql` or a cursor's `execute` that are put together from strings."""
    faults = []

    def made_up(node: ast.expr) -> bool:
        if isinstance(node, ast.JoinedStr):
            return any(isinstance(part, ast.FormattedValue) for part in node.values)
        if isinstance(node, ast.BinOp):
            return isinstance(node.op, ast.Add | ast.Mod) and any(
                isinstance(side, ast.JoinedStr)
                or (isinstance(side, ast.Constant) and isinstance(side.value, str))
                or made_up(side)
                for side in (node.left, node.right)
            )
        return (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"format", "join"}
        )

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            called = _name(node.func).rpartition(".")[2] or getattr(node.func, "attr", "")
            takes_sql = {"text", "exec_driver_sql", "execute", "executemany", "executescript", "DDL", "literal_column"}
            if called in takes_sql and made_up(node.args[0]):
                faults.append(f"{node.lineno}: {ast.unparse(node)}")
    return faults


def shelling(source: str) -> list[str]:
    """Commands that go through a shell."""
    tree = ast.parse(source)
    resolve = _resolver(tree)
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            resolve(node.func) in {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
            or any(
                keyword.arg == "shell"
                and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
                for keyword in node.keywords
            )
        )
    ]


def _test_functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node


def unclaimed(source: str) -> list[str]:
    """Tests that do not state their claim as a sentence."""
    claims = {node: (ast.get_docstring(node) or "").strip() for node in _test_functions(source)}
    return [f"{node.lineno}: {node.name}" for node, claim in claims.items() if not claim.endswith((".", "?", "!"))]


def skipping(source: str) -> list[str]:
    """Ways for a test not to be run, or to fail and count as passed."""
    ways = {"skip", "skipif", "skipIf", "skipUnless", "skipTest", "xfail", "importorskip"}
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr in ways
        and _name(node).startswith(("pytest", "unittest", "self"))
    ]


TWINS: list[tuple[Rule, str]] = [
    (undocumented, "x = 1"),
    (undocumented, '"""."""\ndef f(): ...'),
    (undocumented, '"""."""\nclass C:\n    """."""\n    def f(self): ...'),
    (swallowing, "try: f()\nexcept: pass"),
    (swallowing, "try: f()\nexcept Exception as error: print(error)"),
    (swallowing, "try: f()\nexcept (OSError, BaseException): ..."),
    (swallowing, "try: f()\nexcept Exception:  # noqa: BLE001\n    pass"),
    (unpickling, "import pickle\npickle.loads(b'')"),
    (unpickling, "import cloudpickle as cp\ncp.load(f)"),
    (unpickling, "from pickle import loads as read\nread(b'')"),
    (unpickling, "def f():\n    import pickle as p\n    return p.Unpickler"),
    (unpickling, "import pandas as pd\npd.read_pickle(x)"),
    (unpickling, "import numpy\nnumpy.load(f, allow_pickle=True)"),
    (unpickling, "import numpy\nnumpy.lib.format.read_array(f, allow_pickle=trusted)"),
    (unpickling, "import importlib\nimportlib.import_module('pickle')"),
    (composed_sql, "text(f'select {x}')"),
    (composed_sql, "sa.text('select ' + x)"),
    (composed_sql, "connection.exec_driver_sql('pragma x=%s' % x)"),
    (composed_sql, "c.execute('select {}'.format(x))"),
    (composed_sql, "c.cursor().execute(x + ' desc' + y)"),
    (shelling, "import os\nos.system(x)"),
    (shelling, "from os import popen\npopen(x)"),
    (shelling, "import subprocess\nsubprocess.run(x, shell=True)"),
    (unclaimed, "def test_x(): ..."),
    (unclaimed, "class T:\n    def test_x(self):\n        '''No sentence'''"),
    (skipping, "@pytest.mark.skipif(True, reason='')\ndef test_x(): ..."),
    (skipping, "def test_x():\n    pytest.importorskip('numpy')"),
    (skipping, "def test_x():\n    pytest.xfail('later')"),
]


@pytest.mark.parametrize(("rule", "source"), TWINS, ids=lambda each: getattr(each, "__name__", None) or repr(each))
def test_each_rule_catches_what_it_forbids(rule, source):
    """A known-bad module breaks its rule exactly once: a rule that nothing can break proves nothing."""
    assert len(rule(source)) == 1


INNOCENT = '''"""Documented."""
import pickle, numpy, subprocess
def f(x):
    """Documented."""
    try:
        pickle.dumps(x)
    except Exception as error:
        raise ValueError from error
    connection.execute(text("select :x " "from t"), {"x": x})
    connection.execute(select(t).where(t.c.x == "a" + x))
    numpy.load(x, allow_pickle=False)
    subprocess.run(["true"], shell=False)
def _g(): ...
'''


@pytest.mark.parametrize("rule", sorted({rule for rule, _ in TWINS}, key=lambda rule: rule.__name__))
def test_no_rule_forbids_what_is_right(rule):
    """A module that does the permitted neighbour of each forbidden thing passes every rule."""
    assert rule(INNOCENT) == []


def test_every_public_name_is_documented():
    """Every module, and every public class, function and method in it, has a docstring."""
    assert _broken(undocumented, _modules()) == []


def test_nothing_is_swallowed():
    """An `except` that catches everything raises, or says why not."""
    assert _broken(swallowing, _modules()) == []


def test_one_module_unpickles():
    """Only `save_patterns/trust.py`, which is reached after size, digest and policy, can read a pickle."""
    assert (
        _broken(unpickling, {name: text for name, text in _modules().items() if name != "save_patterns/trust.py"}) == []
    )


def test_no_statement_is_put_together_from_strings():
    """No SQL is made with an f-string, `%`, `+`, `format` or `join`."""
    assert _broken(composed_sql, _modules()) == []


def test_no_command_goes_through_a_shell():
    """Processes are started from lists of arguments."""
    assert _broken(shelling, _modules()) == []


def test_every_test_states_its_claim():
    """Every test function has a docstring that is a sentence."""
    assert _broken(unclaimed, _tests()) == []


def test_no_test_is_skipped():
    """No test can be left out on some machine, or fail and count as passed."""
    assert _broken(skipping, _tests()) == []


def test_imports_point_down_only():
    """import-linter keeps the layers and every other contract of pyproject.toml."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Who imports whom, third parties included."""
    return grimp.build_graph("simpleml", include_external_packages=True, cache_dir=None)


def _layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _layers() -> list[str]:
    """The layers of the contract, top first."""
    [contract] = [each for each in PROJECT["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    return [name.strip("() ") for line in contract["layers"] for name in line.split("|")]


def test_the_contract_on_sqlalchemy_names_every_lower_layer(graph):
    """No layer below `migrations` that exists is left out of the contract that keeps SQLAlchemy from it."""
    [contract] = [each for each in PROJECT["tool"]["importlinter"]["contracts"] if "sqlalchemy" in str(each)]
    lower = _layers()[_layers().index("migrations") + 1 :]
    there = {_layer(module) for module in graph.find_children("simpleml")}
    assert {name for name in lower if name in there} <= {_layer(module) for module in contract["source_modules"]}


def test_machine_learning_knows_nothing_of_experiments_and_pools(graph):
    """No module of the five kinds imports one of `adaptive`, `tracking` and `pools`; runs learn of saves by a hook."""
    kinds = {"metrics", "models", "pipelines", "datasets", "transformers"}
    others = {"adaptive", "tracking", "pools"}
    found = [
        f"{module} imports {imported}"
        for module in graph.modules
        if _layer(module) in kinds
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.startswith("simpleml.") and _layer(imported) in others
    ]
    assert found == []


def test_the_package_does_not_import_its_own_front_door(graph):
    """Inside the package nothing but its faces imports names from `simpleml` itself, which is a detour up."""
    importers = graph.find_modules_that_directly_import("simpleml")
    assert {module for module in importers if _layer(module) not in {"cli", "web", "testing", "__main__"}} == set()


def test_importing_simpleml_imports_nobody_else():
    """`import simpleml` loads the standard library and itself: no SQLAlchemy, no numpy, no pandas, no third party."""
    script = (
        "import sys, json; before = set(sys.modules); import simpleml;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) - sys.stdlib_module_names == {"simpleml"}


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    """A built wheel has every file of the package, `py.typed` among them, and no test, example or setting."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert "simpleml/py.typed" in held
    assert held == there


def test_extras_and_commands_lead_somewhere():
    """`all` is the sum of the users' extras but those that bring gigabytes for a GPU, and needs none of the developers' tools."""
    extras = PROJECT["project"]["optional-dependencies"]
    [everything] = extras["all"]
    assert set(everything.partition("[")[2].strip("]").split(",")) == set(extras) - {"all", "dev", "torch", "xgboost"}
