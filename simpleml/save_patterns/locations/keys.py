"""Keys: the names of stored objects, relative to their store, made by us and by nobody else.

`objects-<ledger>/<ab>/<digest head>-<attempt>`: the ledger is the database that announced the object, so that several
databases may share one store without collecting each other's bytes; `ab` spreads the objects over 256 folders; the
attempt makes sure that no key is ever used twice.

What is pushed for others belongs to no ledger, so no database collects it, and its keys follow from its bytes alone, so
that it is there once: `shared/<ab>/<digest>-<rest of it>` for objects, `bundles/<ab>/<subject>-<digest head>` for manifests.
"""

from __future__ import annotations

import re

from simpleml.errors import StoreError

SHARED = "shared"
"""The folder of the objects of bundles."""

BUNDLES = "bundles"
"""The folder of the manifests of bundles."""

_KEY = re.compile(
    rf"(?:objects-[0-9a-f]{{12}}|{SHARED}|{BUNDLES})/[0-9a-f]{{2}}/[0-9a-f]{{32}}-[0-9a-f]{{32}}", re.ASCII
)

FANOUT = tuple(f"{number:02x}" for number in range(256))
"""The folders below each ledger's folder."""


def ledger_folder(ledger: str) -> str:
    """Return the folder that holds every object which the database with this id (hex digits) announced."""
    return f"objects-{ledger[:12]}"


def make_key(ledger: str, digest: str, attempt: str) -> str:
    """Return a new key for bytes of this digest (`blake3:<hex>`), unique to the attempt (32 hex digits)."""
    head = digest.partition(":")[2]
    return f"{ledger_folder(ledger)}/{head[:2]}/{head[:32]}-{attempt}"


def shared_key(digest: str) -> str:
    """Return the key that an object of this digest (`blake3:<hex>`) has for everybody."""
    head = digest.partition(":")[2]
    return f"{SHARED}/{head[:2]}/{head[:32]}-{head[32:]}"


def bundle_key(subject: str, digest: str) -> str:
    """Return the key of the manifest with this digest, beside all others of its subject (32 hex digits)."""
    return f"{BUNDLES}/{subject[:2]}/{subject}-{digest.partition(':')[2][:32]}"


def moved_key(key: str, ledger: str) -> str:
    """Return the key that the same object has as one of another ledger: always the same, and nobody else's."""
    return f"{ledger_folder(ledger)}/{key.partition('/')[2]}"


def is_key(text: object) -> bool:
    """Whether `text` is a key of an object of any ledger, of a shared one or of a manifest: nothing else reaches a store."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def is_ledger_key(text: object, ledger: str) -> bool:
    """Whether `text` is a key that `make_key` could have made for this ledger: nobody else announces what is there."""
    return is_key(text) and str(text).startswith(f"{ledger_folder(ledger)}/")


def checked(key: object, store: str) -> str:
    """Return `key` if it is one; a `StoreError` otherwise, before any path is built from it."""
    if not is_key(key):
        shown = repr(key)[:120]
        raise StoreError(
            f"{shown} is no key of the store {store!r}: keys look like 'objects-<ledger>/<ab>/<digest>-<attempt>', or begin with "
            f"'{SHARED}/' or '{BUNDLES}/', and are made by simpleml alone. The reference was edited or belongs to something else; nothing was read or written."
        )
    return str(key)
