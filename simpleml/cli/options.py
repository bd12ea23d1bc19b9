"""The options that several commands take, and `faced`, which gives a command those that every one takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from simpleml.cli.face import Face

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database", metavar="URL", help="The database, instead of the one in the settings.")
]
StorePlace = Annotated[
    str | None, typer.Option("--store", metavar="PATH", help="The default store, instead of the one in the settings.")
]
Kind = Annotated[str | None, typer.Option(help="The kind, if several have this name.")]
Of = Annotated[
    str | None,
    typer.Option("--of", metavar="MODEL[:VERSION]", help="Of which model, if several have a metric of this name."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be.")]


def faced(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes its own options, then those of a `Face`, which it hands on as its first parameter."""

    def run(
        context: typer.Context,
        as_json: AsJson = False,
        database: DatabaseUrl = None,
        store: StorePlace = None,
        **own: Any,
    ) -> None:
        command(Face.of(context, as_json, database, store), **own)

    context, *shared, _ = inspect.signature(run, eval_str=True).parameters.values()
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    vars(run)["__signature__"] = inspect.Signature([context, *own, *shared])
    return wraps(command)(run)
