"""`Dataset`: the base of every persistable that holds data, in sections and splits."""

# ruff: noqa: N802 - `X` is the field's own name for a table of features

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from simpleml.constants import TEST_SPLIT, TRAIN_SPLIT, VALIDATION_SPLIT
from simpleml.datasets.families.frames import Column, Frames, Positions, frames_named, frames_of
from simpleml.datasets.projected import ProjectedSplit, checked_positions, consecutive
from simpleml.datasets.reading import Reading
from simpleml.datasets.sections import (
    FEATURES,
    LABELS,
    SECTION_MAP,
    check_columns,
    check_schema,
    check_types,
    checked_schema,
    feature_columns,
    section_map,
)
from simpleml.datasets.split import Split, unknown_split
from simpleml.errors import ArtifactUnsetError, DatasetError, ImmutableVersionError, known_names
from simpleml.persistables import Artifact, Lineage, Persistable

DATASET_SPLIT: Final = "DATASET_SPLIT"
"""The column that says to which split a row belongs, unless `split_column` names another."""

_FRAME = "dataframe"
_ORDER = (TRAIN_SPLIT, VALIDATION_SPLIT, TEST_SPLIT)


class Dataset(Reading, Persistable):
    """Data with a name and versions, in sections (`X`, `y`, others by name) and, if a column says so, in splits.

    Give the data (`PandasDataset(frame, label_columns=["Survived"])`), assign `dataframe`, or write a subclass with a
    `build_dataframe`, which runs when the data is first needed. Columns that are in no section are the features, `X`. Rows
    belong to the split that the column `split_column` names; the usual name `DATASET_SPLIT` need not be there. A `schema`
    (`{"age": "float64"}`) is checked whenever data comes in.

    `hash_` covers the content, the config and the pipeline that derived it, never a path. `hash_by="reference"` is for data too
    large to hash: the hash covers `config["reference"]` (the address, size, and etag or time of change of the source), the
    data is not stored, and is read from the source again when it is needed.
    """

    kind: ClassVar[str] = "dataset"

    _family: ClassVar[str | None] = None  # the library of the data; None: that of the data which is given

    dataframe: Artifact[Any] = Artifact(also=("dataset",), doc="The data; built, or loaded, when it is first needed.")
    pipeline: Lineage[Persistable] = Lineage("pipeline")
    """What derived this dataset from another one, if anything did."""

    _referenced: Any = None  # the data of a dataset that is hashed by reference, which is no artifact
    _building = False

    def __init__(
        self,
        dataframe: Any = None,
        *,
        label_columns: Iterable[str] | str = (),
        other_named_split_sections: Mapping[str, Iterable[str] | str] | None = None,
        squeeze_return: bool = False,
        split_column: str | None = DATASET_SPLIT,
        schema: Mapping[str, str] | None = None,
        hash_by: str = "content",
        config: Mapping[str, Any] | None = None,
        **identity: Any,
    ) -> None:
        if hash_by not in {"content", "reference"}:
            raise DatasetError(f"hash_by is 'content' or 'reference', not {hash_by!r:.80}")
        given: object = split_column
        if given is not None and (not isinstance(given, str | int) or isinstance(given, bool)):
            raise DatasetError(f"split_column is {split_column!r:.80}, but must be the name of a column, or None")
        own: dict[str, Any] = {
            SECTION_MAP: section_map(label_columns, other_named_split_sections),
            "split_column": split_column,
            "squeeze_return": bool(squeeze_return),
        }
        if schema is not None:
            own["schema"] = checked_schema(schema)
        if hash_by != "content":
            own["hash_by"] = hash_by
        super().__init__(config={**own, **(config or {})}, **identity)
        if dataframe is not None:
            self.dataframe = dataframe

    # the data

    def build_dataframe(self) -> Any:
        """Make the data: assign `self.dataframe`, or return it. A subclass writes this; it runs when the data is first needed."""
        raise DatasetError(
            f"{self!r} has no data: give it ({type(self).__name__}(dataframe, …)), assign .dataframe, or write a subclass with "
            "build_dataframe(self), which makes it"
        )

    @property
    def _external_file(self) -> Any:
        return self.dataframe

    @_external_file.setter
    def _external_file(self, value: Any) -> None:
        self.dataframe = value

    def get_artifact(self, name: str) -> Any:
        """Return the value of an artifact; data that is not there yet is built."""
        if name == _FRAME:
            self._ensure_built()
            if self.is_referenced:
                return self._referenced
        return super().get_artifact(name)

    def restore_artifact(self, name: str, value: object) -> None:
        """Set the value of an artifact; data passes the hooks `_validate_state`, `_data`, `_schema` and `_dtype` first."""
        if name != _FRAME:
            super().restore_artifact(name, value)
            return
        adopted = self._frames_of(value).adopt(value)
        for validate in (self._validate_state, self._validate_data, self._validate_schema, self._validate_dtype):
            validate(adopted)
        if self.is_referenced:
            self._referenced = adopted
        else:
            super().restore_artifact(name, adopted)

    def forget_artifact(self, name: str) -> None:
        """Take the value of an artifact away; what `del` does."""
        if name == _FRAME and self.is_referenced:
            self._referenced = None
        else:
            super().forget_artifact(name)

    @property
    def is_referenced(self) -> bool:
        """Whether the hash covers a reference to the data, and not the data."""
        return bool(self.config.get("hash_by") == "reference")

    @property
    def is_built(self) -> bool:
        """Whether the data is there: given, built, read, or stored."""
        return self._referenced is not None if self.is_referenced else self.has_artifact(_FRAME)

    def _ensure_built(self) -> None:
        if self.is_built:
            return
        if self._building:
            raise ArtifactUnsetError(
                f"{type(self).__name__}.build_dataframe reads the data that it is to make: assign self.dataframe before reading it"
            )
        self._building = True
        try:
            made = self.build_dataframe()
            if made is not None and not self.is_built:
                self.dataframe = made
        finally:
            del self._building
        if not self.is_built:
            raise DatasetError(
                f"{type(self).__name__}.build_dataframe made no data: end it with self.dataframe = …, or return the data"
            )

    def _validate_state(self, dataframe: Any) -> None:
        """Refuse data where none may come in: a saved version has what it was saved with. A hook; call super() in yours."""
        if self.is_saved and not self.is_referenced:
            raise ImmutableVersionError(
                f"{self!r} is saved, so its data cannot be replaced: take x = x.new_version(), assign the data, and save that"
            )

    def _validate_data(self, dataframe: Any) -> None:
        """Refuse data in which a named column is missing, or a name is there twice. A hook; call super() in yours."""
        split = self.config.get("split_column")
        columns = self._frames_of(dataframe).columns(dataframe)
        check_columns(repr(self), columns, self._sections, None if split == DATASET_SPLIT else split)

    def _validate_schema(self, dataframe: Any) -> None:
        """Refuse data without a column that the schema names. A hook."""
        check_schema(repr(self), self._frames_of(dataframe).columns(dataframe), self.config.get("schema", {}))

    def _validate_dtype(self, dataframe: Any) -> None:
        """Refuse data with a column of another type than the schema says. A hook."""
        if self.config.get("schema"):
            check_types(repr(self), self._frames_of(dataframe).dtypes(dataframe), self.config["schema"])

    # saving

    def _hash(self) -> str:
        """Return the hash of the class, the config, the pipeline, and the content (or the reference that stands for it)."""
        if self.is_referenced:
            self._ensure_reference()
        elif self._artifacts_declared[_FRAME].identity:
            self._ensure_built()
        return super()._hash()

    def _ensure_reference(self) -> None:
        """See to it that the config says what stands for the data; a dataset with a source asks that."""
        if not isinstance(self.config.get("reference"), Mapping):
            raise DatasetError(
                f"{self!r} is hashed by reference, and has none: give config={{'reference': {{'url': …, 'size': …, 'etag': …}}}}, or use a "
                "file-based dataset, which asks its source"
            )

    @property
    def save_patterns(self) -> dict[str, tuple[str, ...]]:
        """The save patterns of each artifact, in order; empty: the value chooses."""
        chosen = super().save_patterns
        if not chosen[_FRAME] and _FRAME in self._values:
            best = self.frames.pattern(self._values[_FRAME])
            chosen[_FRAME] = (best,) if best else ()
        return chosen

    def save(self) -> Self:
        """Save a new version, for which the data is built if it is not there yet, or the state and metadata of a saved one."""
        if not self.is_saved and not self.is_referenced:
            self._ensure_built()
        return super().save()

    # sections

    @property
    def frames(self) -> Frames:
        """What knows the library of this data."""
        return self._frames_of(None if self._family else self.dataframe)

    def _frames_of(self, dataframe: Any) -> Frames:
        return frames_named(self._family) if self._family else frames_of(dataframe)

    def _complete_sections(self) -> None:
        """See to it that the config names the sections; a dataset that learns them from its source asks it."""

    @property
    def _sections(self) -> dict[str, list[Any]]:
        self._complete_sections()
        sections: dict[str, list[Any]] = self.config.get(SECTION_MAP, {})
        return sections

    @property
    def label_columns(self) -> list[Any]:
        """The columns of the section `y`."""
        return list(self._sections.get(LABELS, []))

    @property
    def split_column(self) -> str | None:
        """The column that says which split a row belongs to, if the data has one."""
        name: str | None = self.config.get("split_column")
        return name if name is not None and name in self.frames.columns(self.dataframe) else None

    def get_section_names(self) -> list[str]:
        """Return the sections that have a column: `X`, `y`, then the others as they were given."""
        named = [name for name, columns in self._sections.items() if columns]
        return [FEATURES, *named] if self.get_section_columns(FEATURES) else named

    def get_section_columns(self, section: str) -> list[Any]:
        """Return the columns of a section in order."""
        if section == FEATURES:
            columns = self.frames.columns(self.dataframe)
            return feature_columns(columns, self._sections, self.config.get("split_column"))
        if section not in self._sections:
            known = known_names([FEATURES, *self._sections], near=str(section))
            raise DatasetError(
                f"{self!r} has no section {section!r:.80}; {known}. A single column is dataset.dataframe[…], or a section of its own "
                "by other_named_split_sections={'name': ['column']}"
            )
        return list(self._sections[section])

    def get_feature_names(self) -> list[Any]:
        """Return the columns of `X` in order."""
        return self.get_section_columns(FEATURES)

    @property
    def X(self) -> Any:
        """The features of every row."""
        return self.get(FEATURES)

    @property
    def y(self) -> Any:
        """The labels of every row; None without label columns."""
        return self.get(LABELS)

    def get(self, column: str | None, split: str | None = None) -> Any:
        """Return a section (None: all of them together) of a split (None: every row), isolated from the data.

        It is a frame; with `squeeze_return` a section of one column is that column. A section without columns is None.
        """
        positions = None if split is None else self.get_split_positions(split)
        return self.read_section(column, positions)

    def read_section(self, section: str | None, positions: Positions = None) -> Any:
        """Return the rows of a section at `positions`, as `get` does."""
        frames, data = self.frames, self.dataframe
        if section is None:
            split = self.config.get("split_column")
            columns = [name for name in frames.columns(data) if split is None or name != split]
        else:
            columns = self.get_section_columns(section)
        if not columns:
            return None
        found = frames.read(data, columns, positions)
        return frames.squeeze(found) if self.config.get("squeeze_return") else found

    # splits

    def get_split_names(self) -> list[str]:
        """Return the splits that the data names: TRAIN, VALIDATION, TEST, then others as they appear; none without a split column."""
        column = self.split_column
        if column is None:
            return []
        found = self.frames.distinct(self.dataframe, column)
        return [name for name in _ORDER if name in found] + [name for name in found if name not in _ORDER]

    def get_split(self, split: str | None) -> ProjectedSplit:
        """Return a split by its name (None: every row), of which nothing is read yet."""
        return self.projected(None if split is None else self.get_split_positions(split))

    def get_split_positions(self, split: str) -> Positions:
        """Return the positions of the rows that belong to a split; `UnknownSplitError` lists the splits there are."""
        column = self.split_column
        known = self.get_split_names()
        if column is None or split not in known:
            raise unknown_split(repr(self), split, known)
        return consecutive(self.frames.where(self.dataframe, column, split))

    def merge_split(self, split: Mapping[str, Any]) -> Any:
        """Return the sections of a split side by side, as one frame."""
        sections = Split(split).squeeze()
        parts = [self.frames.framed(data, self._columns_for(name), data) for name, data in sections.items()]
        return self.frames.beside(parts)

    def _columns_for(self, section: str) -> Sequence[Hashable]:
        return self.get_section_columns(section) if section in {FEATURES, *self._sections} else [section]

    # what pipelines rely on

    @property
    def row_count(self) -> int:
        """The number of rows."""
        return self.frames.count(self.dataframe)

    def column_values(self, name: Hashable) -> Column:
        """Return one column as a one-dimensional array; `DatasetError` lists the columns if there is none of this name."""
        columns = self.frames.columns(self.dataframe)
        if name not in columns:
            raise DatasetError(
                f"{self!r} has no column {name!r:.80}; {known_names(map(str, columns), near=str(name), limit=40)}"
            )
        return self.frames.values(self.dataframe, name)

    def projected(self, positions: Positions, *, sections: Sequence[str] | None = None) -> ProjectedSplit:
        """Return the rows at `positions` (None: every row) as a split that copies nothing before a section is read.

        (It is not called `project`, since every persistable has a project by that name.)
        """
        return ProjectedSplit(self, positions, sections=sections)

    def take(self, data: Any, positions: Positions) -> Any:
        """Return the rows at `positions` of any data of this library, isolated from it."""
        shape = getattr(data, "shape", None)
        rows = shape[0] if isinstance(shape, tuple) and shape and isinstance(shape[0], int) else None
        return self.frames.take(data, checked_positions(positions, rows))

    def add_pipeline(self, pipeline: Persistable | None) -> Self:
        """Say which pipeline derives this dataset, and return the dataset."""
        self.pipeline = pipeline
        return self
