"""Which columns belong to which section: what a dataset's config says of it, checked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from simpleml.encoding.faults import short
from simpleml.errors import DatasetError, known_names

FEATURES = "X"
"""The section of every column that no other section has."""

LABELS = "y"
"""The section of the label columns."""

SECTION_MAP = "split_section_map"
"""The config key of the sections."""


def section_map(label_columns: object, others: object) -> dict[str, list[Any]]:
    """Return the sections that are named, each with its columns; refuses what cannot be sections."""
    if others is not None and not isinstance(others, Mapping):
        raise DatasetError(
            f"other_named_split_sections takes a mapping of sections to columns, like {{'weights': ['w']}}, not {short(others)}"
        )
    found = {LABELS: column_list("label_columns", label_columns)}
    for name, columns in (others or {}).items():
        if name in {FEATURES, LABELS} or not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise DatasetError(
                f"other_named_split_sections has a section {short(name)}: {LABELS!r} is given by label_columns, {FEATURES!r} is every "
                "column that is in no other section, and others are named like variables, 'weights'"
            )
        found[name] = column_list(f"other_named_split_sections[{name!r}]", columns)
    return found


def column_list(where: str, columns: object) -> list[Any]:
    """Return names of columns as a list without repetition; one name alone stands for a list of it."""
    if columns is None:
        return []
    given = [columns] if isinstance(columns, str | int) else columns
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise DatasetError(f"{where} takes names of columns, like ['Survived'], not {short(columns)}")
    names = [name.item() if hasattr(name, "item") else name for name in given]
    wrong = [name for name in names if not isinstance(name, str | int) or isinstance(name, bool)]
    if wrong:
        raise DatasetError(
            f"{where} has {short(wrong[0])} ({type(wrong[0]).__name__}), which is no name of a column: text or a number is"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DatasetError(f"{where} names {short(twice[0])} twice: name each column once")
    return names


def feature_columns(columns: Sequence[Hashable], sections: Mapping[str, Sequence[Any]], split: object) -> list[Any]:
    """Return the columns that are in no section and do not say which split a row belongs to."""
    taken = {name for names in sections.values() for name in names} | ({split} if split is not None else set())
    return [name for name in columns if name not in taken]


def check_columns(
    owner: str, columns: Sequence[Hashable], sections: Mapping[str, Sequence[Any]], split: object
) -> None:
    """Raise `DatasetError` unless every named column is there and none is there twice."""
    if len(set(columns)) != len(columns):
        seen: set[Hashable] = set()
        twice = sorted({str(name) for name in columns if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
        raise DatasetError(
            f"{owner}: the data has several columns of one name ({', '.join(twice[:10])}), so a name would not say which: rename or "
            "drop them"
        )
    there = set(columns)
    for section, names in sections.items():
        missing = [name for name in names if name not in there]
        if missing:
            said = "label_columns" if section == LABELS else f"the section {section!r}"
            raise DatasetError(
                f"{owner}: {said} names {short(missing[0])}, which the data does not have; "
                f"{known_names(map(str, columns), near=str(missing[0]), limit=40)}"
            )
    if split is not None and split not in there:
        raise DatasetError(
            f"{owner}: split_column is {short(split)}, which the data does not have; "
            f"{known_names(map(str, columns), near=str(split), limit=40)}"
        )


def check_types(owner: str, found: Mapping[Hashable, str], wanted: Mapping[str, str]) -> None:
    """Raise `DatasetError` unless every column of the schema is of the type that it says; upper and lower case are one."""
    by_text = {str(name): dtype for name, dtype in found.items()}
    wrong = [
        f"{name!r} is {by_text[name]}, not {dtype}"
        for name, dtype in wanted.items()
        if by_text[name].lower() != dtype.lower()
    ]
    if wrong:
        raise DatasetError(
            f"{owner}: the types of columns are not those of the schema: {'; '.join(wrong[:10])}. Convert them "
            "(astype, cast) where the data is made, or correct the schema"
        )


def check_schema(owner: str, columns: Sequence[Hashable], wanted: Mapping[str, str]) -> None:
    """Raise `DatasetError` unless the data has every column that the schema names."""
    there = {str(name) for name in columns}
    missing = [name for name in wanted if name not in there]
    if missing:
        raise DatasetError(
            f"{owner}: the schema names {short(missing[0])}, which the data does not have; "
            f"{known_names(map(str, columns), near=missing[0], limit=40)}"
        )


def checked_schema(schema: object) -> dict[str, str]:
    """Return a schema as plain text: the type of each column, by its name."""
    if not isinstance(schema, Mapping):
        raise DatasetError(
            f"schema takes a mapping of columns to types, like {{'age': 'float64'}}, not {short(schema)}"
        )
    return {str(name): _type_name(dtype) for name, dtype in schema.items()}


def _type_name(dtype: object) -> str:
    if dtype in (float, int):
        return "float64" if dtype is float else "int64"
    return dtype.__name__ if isinstance(dtype, type) else str(dtype)
