"""`simpleml scan`: what reading the artifacts of a version would import, found without reading them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simpleml.cli.face import Face, examples, shown
from simpleml.cli.options import Kind, Of, faced

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.persistables.ports import Row

scanning = typer.Typer(rich_markup_mode=None)


@scanning.command(epilog=examples("simpleml scan demo-classifier", "simpleml scan demo-classifier --json"))
@faced
def scan(
    face: Face,
    what: Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="Without a version, the latest is scanned.")],
    kind: Kind = None,
    of: Of = None,
) -> None:
    """List what reading the artifacts of a version would import, without running any of it.

    Something to look at, and no gate: what keeps hostile bytes out is the trust policy.
    """
    from simpleml.cli.naming import find_version

    with face.opened() as opened:
        _, row = find_version(opened, what, kind, of)
        found = list(_scans(opened, row))
    face.data(found)
    for each in found:
        face.say(f"{each['artifact']} by {each['pattern']}, {each['told']}")


def _scans(database: Database, row: Row) -> Iterator[dict[str, Any]]:
    """Give what is known of each stored artifact of a record; one that cannot be had hides no other."""
    from simpleml.errors import SimpleMLError
    from simpleml.save_patterns.catalogue import OWN_PATTERNS
    from simpleml.save_patterns.catalogue import patterns as registered

    for artifact, patterns in (row["filepaths"] or {}).items():
        for pattern, given in patterns.items() if isinstance(patterns, dict) else [("?", patterns)]:
            found: dict[str, Any] = {"artifact": artifact, "pattern": pattern}
            if pattern in registered and pattern not in OWN_PATTERNS:
                yield {**found, "told": "a pattern that is not simpleml's own reads it: see its code"}
                continue
            try:
                yield {**found, **_scanned(database, given, artifact)}
            except SimpleMLError as error:
                yield {**found, "problem": str(error), "told": f"cannot be scanned: {error}"}


def _scanned(database: Database, given: object, artifact: str) -> dict[str, Any]:
    from simpleml.save_patterns.catalogue import find_serializer
    from simpleml.save_patterns.folder import NAME as FOLDER
    from simpleml.save_patterns.pattern import check_reference, fetch_reference
    from simpleml.save_patterns.scan import scan

    reference = check_reference(given, artifact)
    name = reference["serializer"]
    if name == FOLDER:
        return {"serializer": name, "told": "a folder of files, none of which is run when it is loaded"}
    executes = find_serializer(name).executes
    scanned = scan(name, fetch_reference(reference, database.places), executes=executes)
    return {**shown(scanned), "told": str(scanned)}
