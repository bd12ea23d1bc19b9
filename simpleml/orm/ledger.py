"""`BlobLedger`: what announces the bytes that are about to be stored for one database (T1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simpleml.errors import DatabaseReadOnlyError
from simpleml.orm import blobs
from simpleml.orm.identity import Identity
from simpleml.orm.transactions import Transactions
from simpleml.save_patterns.protocols import Intent


@dataclass(frozen=True, slots=True)
class BlobLedger:
    """Announces bytes in short transactions of its own (T1); a power cut may lose one, and the sweep cures that."""

    database: Transactions
    identity: Identity

    def intend(self, *, digest: str, size: int, store: str) -> Intent:
        """Extend the lease of a live blob with this content, or add a pending one under a key that was never used."""
        return self.intend_many([(digest, size)], store=store)[0]

    def intend_many(self, contents: Sequence[tuple[str, int]], *, store: str) -> list[Intent]:
        """Do for each digest and size what `intend` does, in one transaction; the intents are in the order of the contents."""
        if not self.identity.own:
            raise DatabaseReadOnlyError(
                f"{self.database!r} was copied or moved, and this user may not write its table ledger, which has to say so before "
                "anything is saved: open it once as a user who may. Nothing was saved"
            )
        grace = self.database.settings.grace
        return self.database.run(
            lambda connection: blobs.announce(connection, contents, store, grace, self.identity), durability="relaxed"
        )

    def distrust(self, key: str) -> None:
        """Mark a live blob as damaged, so that nobody reuses it."""
        self.database.run(lambda connection: blobs.distrust(connection, key))
