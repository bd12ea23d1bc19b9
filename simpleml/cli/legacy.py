"""`simpleml import-legacy`: what SimpleML 0.14 saved, brought over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simpleml.cli.face import Face, examples, shown
from simpleml.cli.options import faced

legacy = typer.Typer(rich_markup_mode=None)
"""The command of this module, for the application to take in."""


@legacy.command(
    "import-legacy",
    epilog=examples(
        "simpleml import-legacy old-home", "simpleml import-legacy old-home/filestore/SimpleML.db --unpickle"
    ),
)
@faced
def import_legacy_(
    face: Face,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The SQLite database of SimpleML 0.14, or the folder that holds it.")
    ],
    filestore: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where its artifacts are; `filestore` beside it by default.")
    ] = None,
    into: Annotated[
        str,
        typer.Option(
            "--into", metavar="STORE", help="The store for pickles that are copied. `imported` is not trusted."
        ),
    ] = "imported",
    unpickle: Annotated[
        bool,
        typer.Option(
            "--unpickle", help="Read pickles, which runs what is in them, and save what they hold as plain objects."
        ),
    ] = False,
) -> None:
    """Bring over the records and artifacts of SimpleML 0.14; the old files stay as they are. May be run again."""
    from simpleml.adapters.legacy import import_legacy

    with face.opened(creating=True) as opened:
        done = import_legacy(path, opened, filestore=filestore, unpickle=unpickle, store=into)
    face.data(shown(done))
    face.table(
        ("kind", "name", "version", "was"),
        [(one.kind, one.name, str(one.version), "" if one.was is None else str(one.was)) for one in done.records],
    )
    for trouble in done.troubles:
        face.say(f"left behind, of {trouble.what}: {trouble.why}")
    face.say(f"{len(done.records)} records came over, {done.skipped} were here already, {len(done.troubles)} troubles")
