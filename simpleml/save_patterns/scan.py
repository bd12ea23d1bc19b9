"""What stored bytes would import if they were read, found without reading them: for a person to look at, and no gate.

No list of dangerous names is complete: every scanner that was tried let some attacks pass. What keeps hostile bytes out is
the trust policy and the digest. This only follows the instructions of a pickle one by one, and runs none of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from simpleml.errors import SerializationError
from simpleml.save_patterns.pickle_reader import PickleReader, Stream, inflated
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.archives import FAULTS, open_archive
from simpleml.save_patterns.serializers.keras import class_names

_RUNS = {
    "builtins": {
        "eval",
        "exec",
        "compile",
        "__import__",
        "open",
        "getattr",
        "setattr",
        "globals",
        "breakpoint",
        "input",
    },
    "os": {"system", "popen", "fork", "kill", "remove", "unlink", "rmdir", "rename", "execv", "execve", "startfile"},
    "pickle": {"load", "loads"},
    "joblib": {"load"},
    "torch": {"load"},
    "marshal": {"load", "loads"},
    "cloudpickle.cloudpickle": {"_make_function", "_builtin_type", "_make_skeleton_class", "subimport"},
    "types": {"FunctionType", "CodeType", "LambdaType"},
    "operator": {"attrgetter", "methodcaller"},
    "functools": {"partial", "reduce"},
    "shutil": {"rmtree", "move"},
    "numpy": {"load", "fromfile"},
    "pandas": {"read_pickle", "eval"},
}
_RUNS_WHOLLY = {
    "subprocess", "pty", "runpy", "code", "codeop", "timeit", "cProfile", "profile", "pdb", "bdb", "webbrowser", "socket",
    "ctypes", "importlib", "imp", "pkgutil", "asyncio", "multiprocessing", "_posixsubprocess", "posix", "nt", "commands",
    "urllib", "http", "ftplib", "smtplib", "pip", "ensurepip", "venv", "idlelib", "lib2to3", "distutils", "doctest",
}  # fmt: skip
_ALIASES = {"__builtin__": "builtins", "posix": "os", "nt": "os", "_pickle": "pickle", "_operator": "operator"}


@dataclass(frozen=True, slots=True)
class Scan:
    """What the bytes of a serializer would import: `imports` in full, `runs_code` those of them known to run commands.

    `runs_code` empty does not mean harmless. `problem` says where the bytes stopped making sense; what comes behind that
    place is not in `imports`, and what comes before it would have run.
    """

    serializer: str
    executes: bool
    imports: tuple[str, ...] = ()
    runs_code: tuple[str, ...] = ()
    problem: str | None = None

    def by_package(self) -> dict[str, tuple[str, ...]]:
        """Return the imports by the top-level package they are of, both sorted."""
        found: dict[str, list[str]] = {}
        for name in self.imports:
            found.setdefault(name.partition(".")[0], []).append(name)
        return {package: tuple(sorted(names)) for package, names in sorted(found.items())}

    def __str__(self) -> str:
        if not self.executes and not self.imports:
            return f"{self.serializer}: reading it runs no code"
        lines = [f"{self.serializer}: reading it {'runs code' if self.executes else 'runs no code, but makes objects'}"]
        for package, names in self.by_package().items():
            lines.append(f"  {package}")
            lines += [f"    {name}{'   <- runs code' if name in self.runs_code else ''}" for name in names]
        return "\n".join(lines + ([f"  not read to the end: {self.problem}"] if self.problem else []))


def scan(serializer: str, data: Buffer, *, executes: bool = False) -> Scan:
    """Return what reading these bytes would import; nothing in them is run, imported or unpacked without bound.

    Knows `cloudpickle`, `joblib`, `skops` and `keras`; of every other serializer `executes` says whether reading it can run
    code. Raises `SerializationError` if the bytes make no sense from the start.
    """
    view = memoryview(data).cast("B")
    if serializer == "cloudpickle":
        return _of_pickle(serializer, _pickle_part(view), view)
    if serializer == "joblib":
        return _of_pickle(serializer, Stream(inflated(view), framed=True), view)
    if serializer in {"skops", "keras"}:
        names = tuple(sorted(set(_types_of_skops(view) if serializer == "skops" else _classes_of_keras(view))))
        return Scan(serializer, serializer == "keras", names, tuple(filter(runs_code, names)))
    told = "what it would import cannot be told: its format is not known here" if executes else None
    return Scan(serializer, executes=executes, problem=told)


def runs_code(name: str) -> bool:
    """Whether a dotted name is one of those known to run commands, or a way to get at them."""
    parts = name.split(".")
    if "?" in parts or "__lambda__" in parts or parts[-1] == "Lambda":
        return True
    for start in range(len(parts) - 1):  # a module may be reached through another that imported it
        head = _ALIASES.get(parts[start], parts[start])
        module = ".".join([head, *parts[start + 1 : -1]])
        if head in _RUNS_WHOLLY or parts[-1] in _RUNS.get(module, ()) or parts[start + 1] in _RUNS.get(head, ()):
            return True
        if head == "os" and parts[-1].startswith(("exec", "spawn", "posix_spawn")):
            return True
    return False


def _of_pickle(serializer: str, stream: Stream, view: memoryview) -> Scan:
    reader = PickleReader(stream)
    problem = reader.run()
    if problem is not None and not reader.imports:
        raise SerializationError(
            f"these {len(view)} bytes are no {serializer} artifact that could be looked through: {problem}"
        )
    names = tuple(sorted(reader.imports))
    return Scan(serializer, executes=True, imports=names, runs_code=tuple(filter(runs_code, names)), problem=problem)


def _pickle_part(view: memoryview) -> Stream:
    """Return the pickle of a cloudpickle artifact, without the buffers that may lie behind it."""
    if bytes(view[-8:]) == b"SMLbuf01" and len(view) >= 32:
        view = view[: int.from_bytes(view[-32:-24], "little")]
    return Stream(inflated(view, compressed=False), framed=False)


def _types_of_skops(view: memoryview) -> Iterator[str]:
    for part in _parts(_json(view, "skops file", "schema.json")):
        module, name = part.get("__module__"), part.get("__class__")
        if isinstance(module, str) and isinstance(name, str):
            yield f"{module}.{name}"
        if part.get("__loader__") in {"FunctionNode", "TypeNode", "MethodNode", "OperatorFuncNode"}:
            content = part.get("content")
            if isinstance(content, dict) and isinstance(content.get("module_path"), str):
                yield f"{content['module_path']}.{content.get('function')}"


def _classes_of_keras(view: memoryview) -> Iterator[str]:
    return class_names(_json(view, ".keras file", "config.json"))


def _json(view: memoryview, what: str, member: str) -> object:
    try:
        with open_archive(view, what) as archive:
            found: object = json.loads(archive.read(member))
    except FAULTS as error:
        if isinstance(error, SerializationError):
            raise
        raise SerializationError(f"these {len(view)} bytes are no whole {what}: {error}") from error
    return found


def _parts(value: object) -> Iterator[dict[str, object]]:
    """Yield every object of a JSON value."""
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield part
            todo += part.values()
        elif isinstance(part, list):
            todo += part
