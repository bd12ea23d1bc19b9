"""The one pattern most others are: a serializer joined with the object store of a name.

Saving spools the bytes, announces them (T1), and puts them where they are durable, unless the same bytes are there
already. Loading checks size, digest and trust, in this order, and parses the very memory it checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, cast

from simpleml.encoding.faults import short
from simpleml.errors import ArtifactDamagedError, SavePatternError, SerializationError
from simpleml.failpoints import reach
from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.protocols import Places, Serializer, Store
from simpleml.types import Reference

_TRIES = 8


@dataclass(frozen=True, slots=True)
class ObjectPattern:
    """Keeps an artifact as one object of `store`, written by `serializer`."""

    name: str
    serializer: Serializer
    store: str

    def save(self, value: object, places: Places) -> Reference:
        """Serialize, announce and put `value`; equal bytes are stored once."""
        places.allow_writing(self.serializer)
        store = places.store(self.store)
        spool = store.spool()
        try:
            details = self.serializer.dump(value, cast("BinaryIO", spool))
            key = self._place(spool, store, places)
            size, digest = spool.size, spool.digest
        finally:
            spool.close()
        reference = Reference(
            store=self.store,
            key=key,
            digest=digest,
            size=size,
            serializer=self.serializer.name,
            format=self.serializer.format,
        )
        if details:
            reference["details"] = dict(details)
        return reference

    def _place(self, spool: Spool, store: Store, places: Places) -> str:
        """Return the key under which the spooled bytes are durable, after looking at what is reused."""
        for _ in range(_TRIES):
            reach("save.intend.before")
            intent = places.ledger.intend(digest=spool.digest, size=spool.size, store=self.store)
            reach("save.intend.after")
            if not intent.stored:
                store.put(spool, intent.key)
                return intent.key
            if store.size(intent.key) == spool.size:
                return intent.key
            places.ledger.distrust(intent.key)
        raise ArtifactDamagedError(
            f"{_TRIES} objects with the digest {spool.digest} in the store {self.store!r} are missing or of the wrong size; "
            "run `simpleml verify --all`"
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
    store = places.store(reference["store"])
    data, digest = store.read(reference["key"], reference["size"])
    if digest != reference["digest"]:
        raise ArtifactDamagedError(
            f"the object {reference['key']} in the store {store.name!r} ({store.describe()}) is damaged: its digest is "
            f"{digest}, but {reference['digest']} was saved. Restore it from a backup (`simpleml verify --all` lists all such)."
        )
    places.allow(serializer, store.name)
    return serializer.load(data, format=reference["format"], details=reference.get("details", {}))


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
    details = reference.get("details", {})
    if reference["size"] < 0 or reference["format"] < 1 or not isinstance(details, dict):
        raise SavePatternError(
            f"the reference of artifact {artifact!r} has size {reference['size']}, format {reference['format']} and details "
            f"{short(details)}, which simpleml never writes: the record was edited"
        )
    return cast("Reference", reference)
