"""`simpleml lineage` and `simpleml diff`: where a version comes from, and in what two differ; read from the rows alone."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from simpleml.cli.face import AsJson, DatabaseUrl, Face, StorePlace, examples

lineages = typer.Typer(rich_markup_mode=None)
"""The commands of this module, for the application to take in."""

Kind = Annotated[str | None, typer.Option(help="The kind, if several have this name.")]


class Form(Enum):
    """How a lineage is shown."""

    TREE = "tree"
    MERMAID = "mermaid"
    DOT = "dot"
    JSON = "json"


@lineages.command(
    epilog=examples(
        "simpleml lineage demo-classifier",
        "simpleml lineage demo-classifier --depth 2 --format mermaid",
        "simpleml lineage demo-classifier --format dot",
    )
)
def lineage(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="Or NAME@ALIAS. Without either, the latest.")],
    kind: Kind = None,
    depth: Annotated[int | None, typer.Option(min=0, help="At most so many steps away; without it, all.")] = None,
    form: Annotated[Form, typer.Option("--format", help="A tree for people, or text for another program.")] = Form.TREE,
    as_json: AsJson = False,
    database: DatabaseUrl = None,
    store: StorePlace = None,
) -> None:
    """Show what a version was made from, and what was made from it."""
    from simpleml.cli.listing import find_version

    face = Face.of(context, as_json or form is Form.JSON, database, store)
    with face.opened() as opened:
        found, row = find_version(opened, what, kind)
        graph = opened.lineage(found, row["id"], up=True, down=True, depth=depth)
    face.data(graph.to_dict())
    if not face.as_json:
        drawn = {Form.MERMAID: graph.mermaid, Form.DOT: graph.dot}
        face.say(drawn.get(form, graph.tree)())


@lineages.command(epilog=examples("simpleml diff churn:1 churn:2", "simpleml diff churn:1 churn:2 --json"))
def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help="NAME[:VERSION] or NAME@ALIAS.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same, of what it is compared with.")],
    kind: Kind = None,
    as_json: AsJson = False,
    database: DatabaseUrl = None,
    store: StorePlace = None,
) -> None:
    """Say in what two versions differ: class, config, parameters, artifacts, libraries, inputs, metrics."""
    from simpleml.cli.listing import find_version
    from simpleml.persistables.comparison import Side, diff_records

    face = Face.of(context, as_json, database, store)
    with face.opened() as opened:
        sides = (Side(opened, *find_version(opened, what, kind)) for what in (before, after))
        found = diff_records(*sides)
    face.data(found.to_dict())
    face.say(str(found))
