"""`Reading`: reading files in a `build_dataframe` of one's own, by one line each."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from simpleml.datasets.families.frames import frames_named
from simpleml.datasets.sources import FileSource


class Reading:
    """Reads a file as a frame of the dataset's library: a path, a URL of fsspec, or `store://NAME/path`.

    Keywords are those of the library's own reader; `storage_options` go to fsspec. Nothing is remembered of the file.
    """

    _family: ClassVar[str | None] = None

    def load_csv(self, filepath: str | os.PathLike[str], **reader_params: Any) -> Any:
        """Return the frame that a csv file holds."""
        return self._load_file(filepath, "csv", reader_params)

    def load_json(self, filepath: str | os.PathLike[str], **reader_params: Any) -> Any:
        """Return the frame that a file of json lines holds (`lines=False`: one json document)."""
        return self._load_file(filepath, "json", reader_params)

    def load_parquet(self, filepath: str | os.PathLike[str], **reader_params: Any) -> Any:
        """Return the frame that a parquet file holds."""
        return self._load_file(filepath, "parquet", reader_params)

    def load_feather(self, filepath: str | os.PathLike[str], **reader_params: Any) -> Any:
        """Return the frame that a feather file holds."""
        return self._load_file(filepath, "feather", reader_params)

    def _load_file(self, filepath: str | os.PathLike[str], format_: str, reader_params: dict[str, Any]) -> Any:
        source = FileSource(os.fspath(filepath), format_, reader_params)
        return source.read(frames_named(self._family or "pandas"))
