"""Keys: what is one, whose it is, and where it comes from."""

from __future__ import annotations

import pytest

from simpleml.errors import StoreError
from simpleml.save_patterns.locations.keys import (
    BUNDLES,
    SHARED,
    bundle_key,
    checked,
    is_key,
    ledger_folder,
    make_key,
    moved_key,
    shared_key,
)

DIGEST = "blake3:" + "0123456789abcdef" * 4
LEDGER = "f" * 32


def test_the_keys_that_are_made_are_keys() -> None:
    """An object of a database, one that is shared, and the manifest of a bundle each have a key in a folder of its own."""
    keys = [make_key(LEDGER, DIGEST, "a" * 32), shared_key(DIGEST), bundle_key("b" * 32, DIGEST)]
    assert all(is_key(key) and checked(key, "store") == key for key in keys)
    assert [key.split("/")[0] for key in keys] == [ledger_folder(LEDGER), SHARED, BUNDLES]
    assert len({len(key.split("/")) for key in keys}) == 1


def test_shared_keys_follow_from_the_bytes() -> None:
    """The same bytes have one shared key, which holds their whole digest; other bytes have another."""
    assert shared_key(DIGEST) == shared_key(DIGEST)
    assert shared_key(DIGEST).replace("-", "").endswith(DIGEST.removeprefix("blake3:"))
    assert shared_key(DIGEST) != shared_key(DIGEST[:-1] + "0")


def test_no_ledger_owns_what_is_shared() -> None:
    """No ledger's folder is one of those of bundles; an object that moves to another ledger gets that one's folder."""
    assert not {ledger_folder(digit * 32) for digit in "0123456789abcdef"} & {SHARED, BUNDLES}
    assert moved_key(make_key("0" * 32, DIGEST, "a" * 32), LEDGER) == make_key(LEDGER, DIGEST, "a" * 32)


@pytest.mark.parametrize(
    "folder", ["shared-0123456789ab", "Shared", "sharedx", "bundle", "objects", "tmp", "shared/.."]
)
def test_other_folders_hold_no_keys(folder: str) -> None:
    """A folder that only looks like one of ours makes no key, and is told before a path is built from it."""
    key = f"{folder}/{shared_key(DIGEST).partition('/')[2]}"
    assert not is_key(key)
    with pytest.raises(StoreError, match="no key of the store 'here'"):
        checked(key, "here")
