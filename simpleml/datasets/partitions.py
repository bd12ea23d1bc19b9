"""Dask frames as artifacts: a folder of parquet files, one for each partition, never collected.

Files are named `part-00000.parquet`, …, and are plain parquet with pandas' own metadata: `dask.dataframe.read_parquet(folder)`
and `pandas.read_parquet(file)` read them without this package. In the store each is an object of its own, so a partition that
did not change is stored once for all versions. What only dask knows (divisions, categories that no row has) is in the files'
key-value metadata, as JSON.

One partition at a time is computed, written and hashed (`simpleml.hashing.dask_frames` says what the hash covers: not where
partitions end). The index is kept where it counts for the hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from simpleml.errors import EncodingError, MissingDependencyError, SavePatternError, SerializationError

try:
    import dask.dataframe
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as missing:
    raise MissingDependencyError("artifacts of dask frames need Dask: pip install 'simpleml[dask]'") from missing

from simpleml import encoding
from simpleml.encoding.faults import short
from simpleml.hashing import hash_value
from simpleml.hashing.dask_frames import PartitionError, RowHash, remember, tables, with_categories
from simpleml.progress import Progress
from simpleml.save_patterns.folder import NAME as FOLDER
from simpleml.save_patterns.folder import Folder, load_folder
from simpleml.save_patterns.manifest import FORMAT, File, Tree, write_tree
from simpleml.save_patterns.parts import Parts
from simpleml.save_patterns.protocols import Places
from simpleml.save_patterns.serializers.output import Output
from simpleml.types import Reference

dd: Any = dask.dataframe  # it ships no complete types

_KEY = b"simpleml"
_GROUP = 1 << 17  # rows of a row group


@dataclass(frozen=True, slots=True)
class PartitionsPattern:
    """Keeps a `dask.dataframe` in `store` as one parquet file for each partition, and a manifest."""

    name: str
    store: str

    def save(self, value: object, places: Places) -> Reference:
        """Compute, hash and store one partition after the other.

        What cannot be kept is a `SavePatternError`, never a pickle instead: that would hold the recipe and not the data.
        """
        if not isinstance(value, dd.DataFrame):
            raise SavePatternError(
                f"{self.name!r} keeps dask frames, and this is {short(value)} ({type(value).__name__}): parquet keeps those of pandas "
                "and polars"
            )
        frame, files, hasher = with_categories(value), [], RowHash()
        with Progress("storing", frame.npartitions) as bar, Parts(places.store(self.store), places) as parts:
            for number, table in enumerate(_tables(frame)):
                hasher.add(table)
                spool = parts.spool()
                _write(table, _note(frame, number), cast("BinaryIO", spool))
                files.append(File(f"part-{number:05}.parquet", executable=False, size=spool.size, digest=spool.digest))
                parts.add(spool)
                bar.advance(1)
            tree = Tree(tuple(sorted(files, key=lambda file: file.path)), ())
            reference = parts.finish(write_tree(tree), "folder", tree.size, serializer=FOLDER, format=FORMAT)
        remember(value, hasher.finish())
        return reference

    def load(self, reference: Reference, places: Places) -> object:
        """Return the frame, of which only the footers of its files are read now."""
        return read_parts(load_folder(reference, places))


def read_parts(folder: Folder) -> Any:
    """Return the dask frame whose partitions are the files of `folder`; `SerializationError` if they are none of ours.

    The folder stays where it is for as long as this process uses the frame. Workers on other machines do not have it.
    """
    files = [folder / file.name for file in sorted(folder.path.iterdir())]
    try:
        footers = [parquet.read_schema(file) for file in files]
        notes: list[Any] = [encoding.loads((schema.metadata or {})[_KEY].decode()) for schema in footers]
        meta = _typed(footers[0].empty_table().to_pandas(), notes[0])
        known = all(note["divisions"] is not None for note in notes)
        divisions = [*(note["divisions"][0] for note in notes), notes[-1]["divisions"][1]] if known else None
    except (pa.ArrowException, EncodingError, OSError, ValueError, TypeError, LookupError) as error:
        raise SerializationError(
            f"the folder {folder.path} holds no partitions that simpleml wrote: {type(error).__name__}: {error}"
        ) from error
    return dd.from_map(_PartReader(folder), list(range(len(files))), meta=meta, divisions=divisions, label="partitions")


class _PartReader:
    """Reads one file of a folder, which it keeps in the workspace; travels to other processes by the folder's path."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._files = sorted(file.name for file in folder.path.iterdir())

    def __call__(self, number: int) -> Any:
        table = parquet.read_table(self._folder / self._files[number])
        note: Any = encoding.loads(table.schema.metadata[_KEY].decode())
        return _typed(table.to_pandas(), note)

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return _reader_at, (str(self._folder.path),)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__qualname__, hash_value(self._folder)


def _reader_at(path: str) -> _PartReader:
    return _PartReader(Folder(path))


def _tables(frame: Any) -> Iterator[Any]:
    try:
        yield from tables(frame)
    except PartitionError as error:
        raise SavePatternError(str(error)) from error


def _note(frame: Any, number: int) -> dict[str, Any]:
    """Return what a file has to say besides its rows: the divisions around it, and the categories by the column's position."""
    categories = [
        {"column": position, "values": dtype.categories.tolist(), "ordered": bool(dtype.ordered)}
        for position, dtype in enumerate(frame.dtypes)
        if dtype == "category"
    ]
    divisions = list(frame.divisions[number : number + 2]) if frame.known_divisions else None
    return {"format": 1, "divisions": divisions, "categories": categories}


def _write(table: Any, note: dict[str, Any], stream: BinaryIO) -> None:
    flat = (pa.types.is_floating, pa.types.is_integer, pa.types.is_temporal, pa.types.is_boolean, pa.types.is_decimal)
    texts = [field.name for field in table.schema if not any(is_(field.type) for is_ in flat)]
    try:
        noted = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: encoding.dumps(note).encode()})
        parquet.write_table(
            noted,
            pa.PythonFile(Output(stream), mode="w"),
            compression="zstd",
            compression_level=1,
            use_dictionary=texts,
            row_group_size=_GROUP,
        )
    except (pa.ArrowException, EncodingError) as error:
        raise SavePatternError(f"this partition cannot be kept as parquet: {error}") from error


def _typed(part: Any, note: dict[str, Any]) -> Any:
    """Return a partition with all categories that the frame has, also those of no row here."""
    import pandas as pd

    types = {
        part.columns[known["column"]]: pd.CategoricalDtype(known["values"], ordered=known["ordered"])
        for known in note["categories"]
    }
    return part.astype(types) if types else part


DASK_PARQUET = PartitionsPattern("dask_parquet", "default")
DISK_DASK_PARQUET = PartitionsPattern("disk_dask_parquet", "disk")
CLOUD_DASK_PARQUET = PartitionsPattern("cloud_dask_parquet", "cloud")
DATABASE_DASK_PARQUET = PartitionsPattern("database_dask_parquet", "database")
