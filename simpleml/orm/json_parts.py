"""Parts of JSON columns as SQL, for each database in its own words: their kind, and those that are numbers, text or truth values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Double, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _JsonPart(FunctionElement[Any]):
    """One part of a JSON column, whatever each record holds there: the column, the way to it, and its pieces."""


class json_kind(_JsonPart):  # noqa: N801 - it is an SQL function, as those below
    """The database's word for the type of a part; NULL if there is none, or if it is null."""

    type = String()
    inherit_cache = True


class json_number(_JsonPart):  # noqa: N801
    """A part that is a number; NULL for any other."""

    type = Double()
    inherit_cache = True


class json_text(_JsonPart):  # noqa: N801
    """A part that is text; NULL for any other."""

    type = String()
    inherit_cache = True


class json_truth(_JsonPart):  # noqa: N801
    """A part that is a truth value; NULL for any other."""

    type = Boolean()
    inherit_cache = True


_SQLITE_JSON = {
    json_kind: "nullif(json_type({0}, {1}), 'null')",
    json_number: "CASE WHEN json_type({0}, {1}) IN ('integer', 'real') THEN json_extract({0}, {1}) END",
    json_text: "CASE WHEN json_type({0}, {1}) = 'text' THEN json_extract({0}, {1}) END",
    json_truth: "CASE json_type({0}, {1}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
}
_POSTGRESQL_JSON = {
    json_kind: "nullif(json_typeof(json_extract_path({0}, {1})), 'null')",
    json_number: "CASE WHEN json_typeof(json_extract_path({0}, {1})) = 'number' "
    "THEN CAST(json_extract_path_text({0}, {1}) AS numeric) END",
    json_text: "CASE WHEN json_typeof(json_extract_path({0}, {1})) = 'string' "
    'THEN json_extract_path_text({0}, {1}) END COLLATE "C"',
    json_truth: "CASE WHEN json_typeof(json_extract_path({0}, {1})) = 'boolean' "
    "THEN CAST(json_extract_path_text({0}, {1}) AS boolean) END",
}
_MYSQL_JSON = {
    json_kind: "nullif(json_type(json_extract({0}, {1})), 'NULL')",
    json_number: "CASE WHEN json_type(json_extract({0}, {1})) IN ('INTEGER', 'UNSIGNED INTEGER', 'DOUBLE', 'DECIMAL') "
    "THEN CAST(json_unquote(json_extract({0}, {1})) AS double) END",
    json_text: "CASE WHEN json_type(json_extract({0}, {1})) = 'STRING' THEN json_unquote(json_extract({0}, {1})) END",
    json_truth: "CASE WHEN json_type(json_extract({0}, {1})) = 'BOOLEAN' "
    "THEN json_unquote(json_extract({0}, {1})) = 'true' END",
}


@compiles(_JsonPart, "sqlite")
def _sqlite_part(element: _JsonPart, compiler: Any, **options: Any) -> str:
    column, way, *_ = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({_SQLITE_JSON[type(element)].format(column, way)})"


@compiles(_JsonPart, "postgresql")
def _postgresql_part(element: _JsonPart, compiler: Any, **options: Any) -> str:
    column, _, *pieces = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({_POSTGRESQL_JSON[type(element)].format(column, ', '.join(pieces))})"


@compiles(_JsonPart, "mysql")
@compiles(_JsonPart, "mariadb")
def _mysql_part(element: _JsonPart, compiler: Any, **options: Any) -> str:
    column, way, *_ = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({_MYSQL_JSON[type(element)].format(column, way)})"
