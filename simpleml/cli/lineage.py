"""`simpleml lineage` and `simpleml diff`: where a version comes from, and in what two differ; read from the rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Annotated

import typer

from simpleml.cli.face import Face, examples
from simpleml.cli.options import Kind, Of, faced

lineages = typer.Typer(rich_markup_mode=None)
"""The commands of this module, for the application to take in."""


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
@faced
def lineage(
    face: Face,
    what: Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="Or NAME@ALIAS. Without either, the latest.")],
    kind: Kind = None,
    of: Of = None,
    depth: Annotated[int | None, typer.Option(min=0, help="At most so many steps away; without it, all.")] = None,
    form: Annotated[Form, typer.Option("--format", help="A tree for people, or text for another program.")] = Form.TREE,
) -> None:
    """Show what a version was made from, and what was made from it."""
    from simpleml.cli.naming import find_version

    if form is Form.JSON:
        face = replace(face, as_json=True)
    with face.opened() as opened:
        found, row = find_version(opened, what, kind, of)
        graph = opened.lineage(found, row["id"], up=True, down=True, depth=depth)
    face.data(graph.to_dict())
    if not face.as_json:
        drawn = {Form.MERMAID: graph.mermaid, Form.DOT: graph.dot}
        face.say(drawn.get(form, graph.tree)())


@lineages.command(epilog=examples("simpleml diff churn:1 churn:2", "simpleml diff churn:1 churn:2 --json"))
@faced
def diff(
    face: Face,
    before: Annotated[str, typer.Argument(metavar="A", help="NAME[:VERSION] or NAME@ALIAS.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same, of what it is compared with.")],
    kind: Kind = None,
    of: Annotated[
        list[str] | None,
        typer.Option(
            "--of",
            metavar="MODEL[:VERSION]",
            help="Of which model, if several have a metric of this name; given twice, first for A and then for B.",
        ),
    ] = None,
) -> None:
    """Say in what two versions differ: class, config, parameters, artifacts, libraries, inputs, metrics."""
    from simpleml.cli.naming import find_version
    from simpleml.persistables.comparison import Side, diff_records

    models: Sequence[str | None] = of or [None]
    if len(models) > 2:
        raise typer.BadParameter("--of says of which model A and B are, so give it once for both, or twice")
    with face.opened() as opened:
        asked = ((before, models[0]), (after, models[-1]))
        sides = (Side(opened, *find_version(opened, what, kind, model)) for what, model in asked)
        found = diff_records(*sides)
    face.data(found.to_dict())
    face.say(str(found))
