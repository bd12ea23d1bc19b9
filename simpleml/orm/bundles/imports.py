"""Reading a bundle from a file: every byte is compared before the first is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simpleml.orm.bundles.archive import Archive
from simpleml.orm.bundles.arriving import IMPORTED, Arrival
from simpleml.orm.bundles.results import Imported

if TYPE_CHECKING:
    from simpleml.orm.database import Database


def import_bundle(database: Database, path: Path, *, store: str = IMPORTED, dry_run: bool = False) -> Imported:
    """Bring the records and objects of a file into `database`; all records, or none.

    Ids are kept, and so are versions that are higher than any that was given out here; every other gets the next free
    number, because the number of a deleted version is never used again. What is here already is left as it is, so that a
    second import does nothing, and one after a failure goes on. Objects go to `store`; what runs code when it is read (pickle)
    is only read from there once it is among the `trusted_stores`. Raises `BundleError` for a file that is damaged, that
    simpleml did not write, or that conflicts with what is here.
    """
    places = database.places
    places.refuse_offline(store)
    with Archive(Path(path)) as archive:
        arrival = Arrival(database, archive.manifest, archive.digest, archive, store)
        archive.check()
        return arrival.plan() if dry_run else arrival.land()
