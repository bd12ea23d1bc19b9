"""Datasets that know where their data comes from: a file, a query, a loader of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from simpleml.datasets.dataset import Dataset
from simpleml.datasets.families.frames import frames_named
from simpleml.datasets.sections import LABELS, SECTION_MAP
from simpleml.datasets.sources import FileSource, LoaderSource, QuerySource, recorded_params
from simpleml.errors import DatasetError, SourceError
from simpleml.settings.secret import Secret

SOURCE = "source"
"""The key of `state` under which a dataset says where its data came from; it is no part of the hash."""


class FileBasedDataset(Dataset):
    """A dataset whose data is read from a file when it is first needed: a path, a URL of fsspec, or `store://NAME/path`.

    The content is hashed and saved, never the path. With `hash_by="reference"` the address, size and etag (or time of change)
    of the file are hashed instead, the data is not saved, and a loaded dataset reads the file again, if it is still that file.
    """

    _source: FileSource | None = None

    def __init__(
        self,
        dataframe: Any = None,
        *,
        filepath: str | PathLike[str] | None = None,
        format: str = "",
        reader_params: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> None:
        source = None if filepath is None else FileSource(filepath, format, reader_params or {})
        super().__init__(dataframe, **members)
        if source is not None:
            self.source = source

    @property
    def source(self) -> FileSource:
        """Where the data is read from; assign one with credentials to a loaded dataset whose record has none."""
        if self._source is None:
            if SOURCE not in self.state:
                raise DatasetError(f"{self!r} does not say what to read: give filepath=, a path or a URL")
            self._source = FileSource.from_record(self.state[SOURCE])
        return self._source

    @source.setter
    def source(self, source: FileSource) -> None:
        self._source = source
        self.state[SOURCE] = source.recorded()

    def build_dataframe(self) -> Any:
        """Read the file."""
        if self.is_referenced:
            self._check_reference()
        return self.source.read(frames_named(self._family or "pandas"))

    def _ensure_reference(self) -> None:
        if "reference" not in self.config:
            self.config["reference"] = self.source.reference()
        super()._ensure_reference()

    def _check_reference(self) -> None:
        """Refuse a file that is no longer the one that was hashed; what the user gave himself cannot be checked."""
        self._ensure_reference()
        then = self.config["reference"]
        now = self.source.reference()
        if then.keys() == now.keys() and any(then[key] != now[key] for key in now if key != "url"):
            raise SourceError(
                f"{self.source.shown!r} is not the file any more that {self!r} is hashed by: it has {_told(now)}, and had {_told(then)}. "
                "Make a new dataset of the file as it is now"
            )


class QueryDataset(Dataset):
    """A dataset whose data is the result of an SQL query, run when it is first needed.

    `url` is SQLAlchemy's; its password stays in this object and comes into no record, prompt or error. `params` are the values
    of the query's `:names`.
    """

    _source: QuerySource | None = None

    def __init__(
        self,
        dataframe: Any = None,
        *,
        url: str | None = None,
        query: str = "",
        params: Mapping[str, Any] | None = None,
        reader_params: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(dataframe, **members)
        if url is not None:
            if not str(query).strip():
                raise DatasetError(f"{type(self).__name__} takes a query beside the url: query='SELECT …'")
            self.source = QuerySource(Secret(_url_text(url)), query, dict(params or {}), dict(reader_params or {}))

    @property
    def source(self) -> QuerySource:
        """What is asked, and where; a loaded dataset has its data, and no password."""
        if self._source is None:
            raise DatasetError(f"{self!r} does not say what to ask: give url= and query=")
        return self._source

    @source.setter
    def source(self, source: QuerySource) -> None:
        self._source = source
        self.state[SOURCE] = source.recorded()

    def build_dataframe(self) -> Any:
        """Run the query."""
        return self.source.read(frames_named(self._family or "pandas"))


class SklearnDataset(Dataset):
    """A data set that scikit-learn ships or fetches: `loader="load_breast_cancer"`. Its targets are the label columns."""

    def __init__(
        self,
        dataframe: Any = None,
        *,
        loader: str | None = None,
        loader_params: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(dataframe, **members)
        self._loader_params = dict(loader_params or {})
        if loader is not None:
            self.state[SOURCE] = {"loader": loader, "params": recorded_params(self._loader_params)}

    def _complete_sections(self) -> None:
        if not self.config[SECTION_MAP][LABELS] and SOURCE in self.state and not self._building:
            self._ensure_built()

    def build_dataframe(self) -> Any:
        """Call the loader."""
        if SOURCE not in self.state:
            raise DatasetError(f"{self!r} does not say what to load: give loader=, such as 'load_breast_cancer'")
        frames = frames_named(self._family or "pandas")
        source = LoaderSource(self.state[SOURCE]["loader"], getattr(self, "_loader_params", {}))
        if not self.config[SECTION_MAP][LABELS]:
            self.config[SECTION_MAP][LABELS] = source.label_columns(frames)
        return source.read(frames)


def _url_text(url: object) -> str:
    """Return a URL as text with its password, also SQLAlchemy's own kind of URL."""
    if isinstance(url, str):
        return url
    render = getattr(url, "render_as_string", None)
    if render is None:
        raise DatasetError(f"url takes a URL of a database, like 'postgresql+psycopg://…', not a {type(url).__name__}")
    text: str = render(hide_password=False)
    return text


def _told(reference: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in reference.items() if key != "url")
