"""Keys: the names of stored objects, relative to their store, made by us and by nobody else.

`objects-<ledger>/<ab>/<digest head>-<attempt>`: the ledger is the database that announced the object, so that several
databases may share one store without collecting each other's bytes; `ab` spreads the objects over 256 folders; the
attempt makes sure that no key is ever used twice.
"""

from __future__ import annotations

import re

from simpleml.errors import StoreError

_KEY = re.compile(r"objects-[0-9a-f]{12}/[0-9a-f]{2}/[0-9a-f]{32}-[0-9a-f]{32}", re.ASCII)

FANOUT = tuple(f"{number:02x}" for number in range(256))
"""The folders below each ledger's folder."""


def ledger_folder(ledger: str) -> str:
    """Return the folder that holds every object which the database with this id (hex digits) announced."""
    return f"objects-{ledger[:12]}"


def make_key(ledger: str, digest: str, attempt: str) -> str:
    """Return a new key for bytes of this digest (`blake3:<hex>`), unique to the attempt (32 hex digits)."""
    head = digest.partition(":")[2]
    return f"{ledger_folder(ledger)}/{head[:2]}/{head[:32]}-{attempt}"


def moved_key(key: str, ledger: str) -> str:
    """Return the key that the same object has as one of another ledger: always the same, and nobody else's."""
    return f"{ledger_folder(ledger)}/{key.partition('/')[2]}"


def is_key(text: object) -> bool:
    """Whether `text` is a key that `make_key` could have made: nothing else ever reaches a store."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def checked(key: object, store: str) -> str:
    """Return `key` if it is one; a `StoreError` otherwise, before any path is built from it."""
    if not is_key(key):
        shown = repr(key)[:120]
        raise StoreError(
            f"{shown} is no key of the store {store!r}: keys look like 'objects-<ledger>/<ab>/<digest>-<attempt>' and are "
            "made by simpleml alone. The reference was edited or belongs to something else; nothing was read or written."
        )
    return str(key)
