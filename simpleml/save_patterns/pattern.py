"""The one pattern most others are: a serializer joined with the object store of a name.

Saving spools the bytes, announces them (T1), and puts them where they are durable, unless the same bytes are there
already. Loading checks size, digest and trust, in this order, and parses the very memory it checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

from simpleml.encoding.faults import short
from simpleml.errors import SavePatternError, SerializationError
from simpleml.save_patterns import chunks
from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.manifest import check_layout
from simpleml.save_patterns.placing import place
from simpleml.save_patterns.protocols import Buffer, Places, Serializer, Store
from simpleml.save_patterns.stream import Stream
from simpleml.types import Reference


@dataclass(frozen=True, slots=True)
class ObjectPattern:
    """Keeps an artifact as one object of `store`, written by `serializer`; a big one in chunks, if it or the store says so."""

    name: str
    serializer: Serializer
    store: str
    chunked: bool = False

    def save(self, value: object, places: Places) -> Reference:
        """Serialize, announce and put `value`; equal bytes are stored once."""
        places.allow_writing(self.serializer, self.store)
        store = places.store(self.store)
        spool = store.spool()
        try:
            with Stream(spool.write, spool.lend) as stream:
                details = self.serializer.dump(value, cast("BinaryIO", stream))
            if details and not isinstance(details, Mapping):
                raise SerializationError(
                    f"the serializer {self.serializer.name!r} returned {short(details)} from `dump`, not a mapping of what its "
                    "`load` will need besides the bytes: return {} if that is nothing"
                )
            reference = self._placed(spool, store, places)
        finally:
            spool.close()
        if details:
            reference["details"] = dict(details)
        return reference

    def _placed(self, spool: Spool, store: Store, places: Places) -> Reference:
        """Return the reference to the spooled bytes, which are durable and announced."""
        if spool.size >= chunks.LEAST and (self.chunked or store.chunked):
            return chunks.save_chunks(spool, self.serializer, store, places)
        key = place(spool, store, places)  # which decides of memory that changes what its bytes are
        return Reference(
            store=self.store,
            key=key,
            digest=spool.digest,
            size=spool.size,
            serializer=self.serializer.name,
            format=self.serializer.format,
        )

    def load(self, reference: Reference, places: Places) -> object:
        """Return the object; nothing is parsed before size, digest and trust were checked."""
        return load_object(reference, self.serializer, places)


def load_object(reference: Reference, serializer: Serializer, places: Places) -> object:
    """Return what `reference` stands for: size, then digest over the very bytes that are parsed, then trust, then parse."""
    if reference["format"] > serializer.format:
        raise SerializationError(
            f"the artifact is in format {reference['format']} of {serializer.name!r}, and this version of simpleml reads up "
            f"to {serializer.format}: upgrade simpleml"
        )
    data = fetch_reference(reference, places)
    places.allow(serializer, reference["store"], data)
    return serializer.load(data, format=reference["format"], details=reference.get("details", {}))


def fetch_reference(reference: Reference, places: Places) -> Buffer:
    """Return the verified bytes that `reference` stands for, put together if they are kept in chunks."""
    if reference.get("layout") == "chunks":
        return chunks.load_chunks(reference, places)
    check_layout(reference, None)
    return places.fetch(reference["store"], reference["key"], reference["size"], reference["digest"])


def check_reference(reference: object, artifact: str) -> Reference:
    """Return `reference` if it has the shape that `save` gives; a `SavePatternError` names what is wrong otherwise."""
    wanted = {"store": str, "key": str, "digest": str, "size": int, "serializer": str, "format": int}
    if not isinstance(reference, dict):
        raise SavePatternError(
            f"the reference of artifact {artifact!r} is {short(reference)}, not a mapping: the record was edited"
        )
    for field, kind in wanted.items():
        if not isinstance(reference.get(field), kind) or isinstance(reference.get(field), bool):
            raise SavePatternError(
                f"the reference of artifact {artifact!r} has {field} = {short(reference.get(field))}, not {kind.__name__}: the "
                "record was edited or is damaged"
            )
    details, parts = reference.get("details", {}), reference.get("parts", [])
    whole = isinstance(details, dict) and isinstance(parts, list) and all(isinstance(part, str) for part in parts)
    if reference["size"] < 0 or reference["format"] < 1 or not whole:
        raise SavePatternError(
            f"the reference of artifact {artifact!r} has size {reference['size']}, format {reference['format']}, details "
            f"{short(details)} and parts {short(parts)}, which simpleml never writes: the record was edited"
        )
    return cast("Reference", reference)
