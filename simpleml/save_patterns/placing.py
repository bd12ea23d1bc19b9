"""Bytes on their way into a store: announced (T1), and put where they are durable, unless the same bytes are there already."""

from __future__ import annotations

from collections.abc import Sequence

from simpleml.errors import ArtifactDamagedError, SourceChangedError
from simpleml.failpoints import reach
from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.protocols import Intent, Places, Store

_TRIES = 8


def place(spool: Spool, store: Store, places: Places, intent: Intent | None = None) -> str:
    """Return the key under which the spooled bytes are durable and announced, after looking at what is reused.

    `intent` is their announcement, if that was made already.
    """
    for _ in range(_TRIES):
        intent = intent or announce([(spool.digest, spool.size)], store, places)[0]
        if not intent.stored:
            try:
                store.put(spool, intent.key)
            except SourceChangedError:  # somebody is changing it: then a copy is stored, whichever moment it shows
                if not spool.own():
                    raise
                intent = None
                continue
            places.keep(store, spool)
            return intent.key
        whole = store.size(intent.key) == spool.size
        if whole and not places.found_damaged(intent.key, spool.size, spool.digest):
            return intent.key
        places.ledger.distrust(intent.key)
        intent = None
    raise ArtifactDamagedError(
        f"{_TRIES} objects with the digest {spool.digest} in the store {store.name!r} are missing, damaged or of the wrong size; "
        "run `simpleml verify --all`"
    )


def announce(contents: Sequence[tuple[str, int]], store: Store, places: Places) -> list[Intent]:
    """Announce bytes of these digests and sizes (T1), in one transaction."""
    reach("save.intend.before")
    intents = places.ledger.intend_many(contents, store=store.name)
    reach("save.intend.after")
    return intents
