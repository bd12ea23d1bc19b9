"""How a persistable shows itself: one line in a prompt, a small table in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable


def one_line(owner: Persistable) -> str:
    """Return `Model 'churn' version 3`, or `… (not saved)`."""
    if owner.version is not None and owner._origin is not None:
        state = f"version {owner.version}"
    elif owner._origin is not None:
        state = "(saved when the transaction ends)"
    else:
        state = "(not saved)"
    return f"<{owner.registered_name} {owner.name!r} {state}>"


def rows_of(owner: Persistable) -> list[tuple[str, str]]:
    """Return what is worth knowing of an object, as labels and texts, without reading any artifact."""
    rows = [
        ("class", owner.registered_name),
        ("name", owner.name),
        ("version", str(owner.version) if owner.version is not None else "not saved"),
        ("project", owner.project or ""),
        ("author", owner.author or ""),
        ("hash", owner.hash_ or ""),
        ("created", f"{owner.created_timestamp:%Y-%m-%d %H:%M:%S %Z}" if owner.created_timestamp else ""),
        ("config", ", ".join(f"{key}={value!r:.60}" for key, value in owner.config.items())),
    ]
    for role, id_ in owner._parent_ids.items():
        held = owner._parents.get(role)
        if held is not None or id_ is not None:
            rows.append((role, one_line(held) if held is not None else str(id_)))
    for name in owner._artifacts_declared:
        stored = owner.filepaths.get(name, {})
        kept = ", ".join(f"{pattern} ({human_size(size_of(reference))})" for pattern, reference in stored.items())
        loaded = "loaded" if name in owner._values else ("not read yet" if stored else "not set")
        rows.append((f"artifact {name}", f"{kept}; {loaded}" if kept else loaded))
    return [(label, text) for label, text in rows if text]


def html_table(owner: Persistable) -> str:
    """Return `rows_of` as an HTML table; every text is escaped."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(label)}</th><td>{escape(text)}</td></tr>"
        for label, text in rows_of(owner)
    )
    return f"<table>{cells}</table>"


def size_of(reference: object) -> int:
    """Return how many bytes an artifact has, in one object or in all that a manifest lists; 0 for what an edit made of it."""
    found = reference.get("total", reference.get("size")) if isinstance(reference, Mapping) else None
    return found if isinstance(found, int) else 0


def human_size(size: int) -> str:
    """Return a size in bytes as people read it: `950 B`, `1.2 MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
