"""Where data is read from: files by path, URL or store, queries, and the loaders of scikit-learn.

What a source shows (in a record, a prompt, an error) never holds a credential: passwords in URLs, and parameters that look like
one, stand as `***`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any, Final

from simpleml.datasets.families.frames import Frames
from simpleml.encoding import jsontext
from simpleml.encoding.faults import Fault, short
from simpleml.errors import (
    DatasetError,
    MissingDependencyError,
    SimpleMLError,
    SourceError,
    SourceMissingError,
    known_names,
)
from simpleml.persistables.ports import current_database
from simpleml.save_patterns.locations.filesystem import scrubbed
from simpleml.settings.secret import HIDDEN, MaskedText, Secret, masked, tells
from simpleml.settings.stores import OWN_OPTIONS, options_of
from simpleml.types import JSON

FORMATS: Final = {
    "csv": "csv",
    "tsv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "parquet": "parquet",
    "pq": "parquet",
    "feather": "feather",
    "arrow": "feather",
    "npy": "npy",
    "npz": "npz",
}
"""The format of a file by the end of its name."""

_STORE = "store://"
_PACKED = ("gz", "bz2", "xz", "zst", "zip")
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "checksum")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of data: a path, a URL of fsspec (`s3://bucket/x.csv`), or `store://NAME/x.csv` in a store of the settings.

    Without a format the end of the name decides. `reader_params` go to the library's own reader, but for `storage_options`,
    which go to fsspec.
    """

    filepath: str | os.PathLike[str]
    format: str = ""
    reader_params: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "filepath", MaskedText(_path_text(self.filepath)))
        object.__setattr__(self, "format", self._checked_format())
        object.__setattr__(self, "reader_params", dict(self.reader_params or {}))

    def __repr__(self) -> str:
        return f"FileSource({self.shown!r}, format={self.format!r})"

    @property
    def _text(self) -> str:
        return str(self.filepath)

    @property
    def shown(self) -> str:
        """The path to show and to record."""
        return masked(self._text) if "://" in self._text else self._text

    @property
    def is_local(self) -> bool:
        """Whether it is a plain path of this machine."""
        return "://" not in self.path

    @property
    def path(self) -> str:
        """The path or URL that is opened; that of a store is looked up in the settings."""
        return self._place[0]

    @property
    def options(self) -> Mapping[str, Any]:
        """What fsspec needs besides the URL."""
        return {**self._place[1], **self.reader_params.get("storage_options", {})}

    @property
    def _place(self) -> tuple[str, Mapping[str, Any]]:
        if not self._text.startswith(_STORE):
            return self._text, {}
        name, _, rest = self._text.removeprefix(_STORE).partition("/")
        stores = current_database().settings.stores
        if name not in stores:
            raise SourceError(
                f"{self.shown!r}: the settings do not say where the store {name!r} is; {known_names(stores, near=name)}. Add it to "
                "simpleml.toml: [stores] " + f'{name} = "…"'
            )
        at = stores[name]
        options = {key: value for key, value in options_of(at).items() if key not in OWN_OPTIONS}
        return f"{str(at).rstrip('/')}/{rest}", options

    def read(self, frames: Frames) -> Any:
        """Return the data as a frame of this family; `SourceError` says what is wrong with the file."""
        if self.format not in frames.formats:
            raise DatasetError(
                f"{frames.name} reads no {self.format} ({self.shown!r}); it reads {', '.join(sorted(frames.formats))}"
            )
        params = {key: value for key, value in self.reader_params.items() if key != "storage_options"}
        with self._failures():
            return frames.read_file(self, self.format, params)

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the file for reading bytes, unpacked."""
        import fsspec

        with fsspec.open(self.path, "rb", compression="infer", **self.options) as file:
            yield file

    def reference(self) -> dict[str, JSON]:
        """Return what stands for the file without reading it: its address, size, and etag or time of change."""
        import fsspec

        with self._failures():
            filesystem, path = fsspec.core.url_to_fs(self.path, **self.options)
            found = filesystem.info(path)
        size = found.get("size")
        tag = next((str(found[key]) for key in _TAGS if found.get(key)), None)
        time = next((found[key] for key in _TIMES if found.get(key)), None)
        if found.get("type") == "directory" or not isinstance(size, int) or (tag is None and time is None):
            raise SourceError(
                f"{self.shown!r} tells no size and no etag or time of change, so it cannot be hashed by reference: give "
                "config={'reference': {…}} with what identifies it, or hash_by='content'"
            )
        if tag is not None:
            return {"url": self.shown, "size": size, "etag": tag}
        return {"url": self.shown, "size": size, "mtime": time.isoformat() if isinstance(time, datetime) else str(time)}

    def recorded(self) -> dict[str, JSON]:
        """Return what a record says of the source."""
        return {"path": self.shown, "format": self.format, "reader_params": recorded_params(self.reader_params)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FileSource:
        """Return the source that a record describes; `SourceError` if a credential is missing in it."""
        text = f"{record['path']} {record.get('reader_params')}"
        if HIDDEN in text:
            raise SourceError(
                f"the record of this dataset has its source without the credentials ({record['path']!r}): assign dataset.source = "
                "FileSource(url, …) with them, before the data is read"
            )
        return cls(record["path"], record["format"], record.get("reader_params", {}))

    def _checked_format(self) -> str:
        if self.format:
            if self.format not in FORMATS:
                raise DatasetError(
                    f"there is no format {self.format!r:.80}; {known_names(FORMATS, near=str(self.format))}"
                )
            return FORMATS[self.format]
        ends = self._text.partition("?")[0].rstrip("/").rpartition("/")[2].lower().split(".")[1:]
        while ends and ends[-1] in _PACKED:
            ends.pop()
        if not ends or ends[-1] not in FORMATS:
            raise DatasetError(
                f"the name {self.shown!r} does not tell the format of the file: give format=, one of {', '.join(sorted(set(FORMATS.values())))}"
            )
        return FORMATS[ends[-1]]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Tell what goes wrong with the file, without its credentials."""
        secrets = {"options": dict(self.options), "at": self.path}
        try:
            yield
        except SimpleMLError:
            raise
        except Exception as error:
            told = scrubbed(str(error), secrets)
            cause = error if self.is_local else None  # a chain of errors may show a URL again
            if isinstance(error, FileNotFoundError):
                raise SourceMissingError(
                    f"there is no {self.shown!r} ({told}); a path begins at the working folder"
                ) from cause
            if isinstance(error, ImportError):
                raise MissingDependencyError(
                    f"reading {self.shown!r} needs a package that is not installed: {told}. pip install 'simpleml[pandas]' brings "
                    "parquet and feather, 'simpleml[s3]' S3"
                ) from cause
            if isinstance(error, TypeError):
                raise DatasetError(
                    f"{self.shown!r} cannot be read like this: {told}. reader_params are those of the library's own reader of "
                    f"{self.format}"
                ) from cause
            raise SourceError(f"{self.shown!r} cannot be read: {type(error).__name__}: {told}") from cause


@dataclass(frozen=True, slots=True)
class QuerySource:
    """The result of a query: an SQLAlchemy URL, SQL, and the values of its `:names`."""

    url: Secret
    query: str
    params: Mapping[str, Any] = field(default_factory=dict)
    reader_params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The URL to show and to record."""
        return masked(self.url.reveal())

    def read(self, frames: Frames) -> Any:
        """Return the result as a frame of this family; the connection is closed afterwards."""
        from sqlalchemy import create_engine, text
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError
        from sqlalchemy.pool import NullPool

        try:
            engine = create_engine(self.url.reveal(), poolclass=NullPool, hide_parameters=True)
            with engine.connect() as connection:
                sql = text(self.query).bindparams(**self.params) if self.params else text(self.query)
                return frames.read_query(connection, sql, dict(self.reader_params))
        except ArgumentError as error:
            raise SourceError(
                f"{self.shown!r} is no URL of a database, or the parameters are not those of the query: {self._told(error)}"
            ) from None
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"{self.shown!r} needs the package {error.name!r}, which is not installed: pip install 'simpleml[postgres]', or "
                "'simpleml[mysql]'"
            ) from error
        except (SQLAlchemyError, OSError) as error:
            raise SourceError(f"the query {short(self.query)} of {self.shown!r} failed: {self._told(error)}") from None

    def recorded(self) -> dict[str, JSON]:
        """Return what a record says of the source."""
        return {"url": self.shown, "query": self.query, "params": recorded_params(self.params)}

    def _told(self, error: BaseException) -> str:
        return scrubbed(str(getattr(error, "orig", None) or error), {"at": self.url.reveal()})


@dataclass(frozen=True, slots=True)
class LoaderSource:
    """A data set that scikit-learn has: `load_breast_cancer`, `fetch_california_housing`, with parameters of its loader."""

    loader: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def read(self, frames: Frames) -> Any:
        """Return features and target side by side as a frame of this family."""
        bunch = self._bunch(as_frame=frames.name != "numpy")
        if frames.name == "numpy":
            return {"X": bunch.data, "target": bunch.target}
        if frames.name == "dask":
            return import_module("dask.dataframe").from_pandas(bunch.frame, npartitions=1)
        return frames.framed(bunch.frame, list(bunch.frame.columns), None)

    def label_columns(self, frames: Frames) -> list[str]:
        """Return the names of the targets."""
        if frames.name == "numpy":
            return ["target"]
        target = self._bunch(as_frame=True).target
        return [str(name) for name in target.columns] if hasattr(target, "columns") else [str(target.name)]

    def recorded(self) -> dict[str, JSON]:
        """Return what a record says of the source."""
        return {"loader": self.loader, "params": recorded_params(self.params)}

    def _bunch(self, *, as_frame: bool) -> Any:
        try:
            module = import_module("sklearn.datasets")
        except ImportError as error:
            raise MissingDependencyError("this dataset needs scikit-learn: pip install 'simpleml[sklearn]'") from error
        known = [name for name in dir(module) if name.startswith(("load_", "fetch_"))]
        if self.loader not in known:
            raise DatasetError(
                f"scikit-learn has no loader {self.loader!r:.80}; {known_names(known, near=str(self.loader), limit=40)}"
            )
        try:
            return getattr(module, self.loader)(**{**self.params, "as_frame": as_frame})
        except TypeError as error:
            raise DatasetError(f"{self.loader} makes no frame with these parameters: {error}") from error


def recorded_params(params: Mapping[str, Any]) -> dict[str, JSON]:
    """Return parameters for a record: plain ones as they are, credentials as `***`, everything else as the type's name."""
    return {str(key): _recorded(str(key), value) for key, value in params.items()}


def _recorded(key: str, value: Any) -> JSON:
    if tells(key):
        return HIDDEN
    if isinstance(value, Mapping):
        return recorded_params(value)
    if isinstance(value, str):
        return masked(value) if "://" in value else value
    try:
        jsontext.write(value)
    except (Fault, TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"
    kept: JSON = value
    return kept


def _path_text(path: Any) -> str:
    try:
        text = os.fspath(path)
    except TypeError as error:
        raise DatasetError(f"filepath takes a path or a URL, not {short(path)} ({type(path).__name__})") from error
    return os.fsdecode(text)
