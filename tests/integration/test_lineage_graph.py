"""Lineage as a graph, and what differs between two versions, on all three databases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import Mapped, mapped_column

import simpleml
from simpleml import Lineage, Persistable
from simpleml.errors import IdentityError, LineageError, UnsavedReferenceError
from simpleml.orm import Database, ORMModel, ORMPersistable, tables
from simpleml.persistables.comparison import NOTHING
from simpleml.persistables.graph import LineageGraph
from tests.integration.kinds import Box, Cleaner, Corpus, Guess, Pair, Score

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
NASTY = 'a"b\\n]\n-->|x| <b>&`$;%%{init}%% \\N é 漢 :1'


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements that ask for rows, in the block."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        catalogue = re.search(r"sqlite_master|pg_catalog|information_schema|set_config", statement)
        if re.match(r"\s*(SELECT|WITH)", statement) and catalogue is None:
            asked.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)


def project(name: str = "guess", **config: Any) -> dict[str, Any]:
    """A corpus, a cleaner, a model of both, and a metric."""
    corpus = Corpus(name="data", rows=[1]).save()
    cleaner = Cleaner(name="clean", dataset=corpus, fitted=1).save()
    guess = Guess(name=name, pipeline=cleaner, corpus=corpus, weights=1, config=config).save()
    score = Score(name="accuracy", model=guess, dataset=corpus)
    score.values = {"value": 0.5}
    return {"corpus": corpus, "cleaner": cleaner, "guess": guess, "score": score.save()}


def insert_records(database: Database, count: int, name: str) -> list[UUID]:
    """Insert bare records without going through saving."""
    ids = [uuid4() for _ in range(count)]
    plain = {"hash": "1:0", "registered_name": "Box", "author": "a", "project": "p", "has_external_files": False}
    times = {"created_timestamp": MOMENT, "modified_timestamp": MOMENT}
    rows = [{**plain, **times, "id": id_, "name": name, "version": at} for at, id_ in enumerate(ids, 1)]
    with database.engine.begin() as connection:
        connection.execute(sa.insert(tables.metadata.tables["persistables"]), rows)
    return ids


def link(database: Database, pairs: list[tuple[UUID, UUID]], role: str = "source") -> None:
    """Say that each first record was made from the second."""
    rows = [{"child": child, "child_kind": "persistable", "role": role, "persistable_id": of} for child, of in pairs]
    with database.engine.begin() as connection:
        connection.execute(sa.insert(tables.metadata.tables["lineage"]), rows)


def shown(graph: LineageGraph) -> set[tuple[str, str, str]]:
    """The edges by names: child, role, parent."""
    return {(str(graph.nodes[e.child].name), e.role, str(graph.nodes[e.parent].name)) for e in graph.edges}


def test_a_graph_has_what_is_above_and_below(database: Database) -> None:
    """From the model the graph reaches its inputs, by columns and by the lineage table, and its metric; nobody else's."""
    made, _ = project(), project("other")
    graph = made["guess"].lineage()
    above = {("guess", "pipeline", "clean"), ("guess", "corpus", "data"), ("clean", "dataset", "data")}
    below = {("accuracy", "model", "guess")}
    assert shown(graph) == above | below
    assert len(graph) == 4
    assert shown(made["guess"].lineage(down=False)) == above
    assert shown(made["guess"].lineage(up=False)) == below
    assert shown(made["corpus"].lineage(depth=1)) == {
        ("clean", "dataset", "data"),
        ("guess", "corpus", "data"),
        ("accuracy", "dataset", "data"),
    }
    assert shown(made["score"].lineage(depth=2)) == above - {("clean", "dataset", "data")} | below | {
        ("accuracy", "dataset", "data")
    }
    alone = made["guess"].lineage(depth=0)
    assert (len(alone), alone.edges) == (1, ())
    node = graph.nodes[graph.root]
    assert (node.name, node.version, node.registered_name, node.hash_) == ("guess", 1, "Guess", made["guess"].hash_)


def test_a_deep_chain_and_a_wide_fan_take_one_statement_each(database: Database) -> None:
    """1200 generations and 3000 children are found by one recursive statement and one more for each kind, whole."""
    chain = insert_records(database, 1200, "chain")
    link(database, list(zip(chain[1:], chain, strict=False)))
    fan = insert_records(database, 3000, "fan")
    link(database, [(child, chain[-1]) for child in fan])
    last = Box.load(id=chain[-1])
    with counted(database) as asked:
        graph = last.lineage()
    assert len(asked) == 2, asked
    assert (len(graph), len(graph.edges)) == (4200, 4199)
    assert graph.tree().count("\n") == 4201
    assert len(Box.load(id=chain[0]).lineage()) == 4200
    assert len(Box.load(id=chain[600]).lineage(depth=10)) == 21
    for far in (2**31, 2**63, 10**100):  # as deep as anybody likes, whatever a database counts with
        assert len(Box.load(id=chain[600]).lineage(depth=far)) == 4200
    kinds = project()
    with counted(database) as asked:
        assert len(kinds["guess"].lineage()) == 4
    assert len(asked) == 5, asked


def test_cycles_and_diamonds_end(database: Database) -> None:
    """Records that refer to each other in a circle, and many ways to one record, are each shown once."""
    ring = insert_records(database, 5, "ring")
    link(database, list(zip(ring, [*ring[1:], ring[0]], strict=True)))
    graph = Box.load(id=ring[2]).lineage()
    assert (len(graph), len(graph.edges)) == (5, 5)
    assert "(see above)" in graph.tree()
    assert len(Box.load(id=ring[2]).lineage(down=False, depth=3)) == 4
    assert len(Box.load(id=ring[2]).lineage(down=False, depth=50)) == 5
    layers = [insert_records(database, 2, f"layer-{number}") for number in range(16)]
    for above, below in pairwise(layers):
        for role, parent in zip("ab", above, strict=True):
            link(database, [(child, parent) for child in below], role)
    graph = Box.load(id=layers[-1][0]).lineage(depth=40)
    assert (len(graph), len(graph.edges)) == (31, 58)
    assert graph.tree().count("\n") < 100


def test_derived_datasets_refer_both_ways(database: Database) -> None:
    """A dataset that a pipeline derived from another dataset shows the whole way, through both tables."""
    raw = Corpus(name="raw", rows=[1]).save()
    cleaner = Cleaner(name="clean", dataset=raw, fitted=1).save()
    derived = Corpus(name="derived", rows=[2], pipeline=cleaner).save()
    assert shown(derived.lineage()) == {("derived", "pipeline", "clean"), ("clean", "dataset", "raw")}
    assert shown(raw.lineage()) == shown(derived.lineage())


class ORMWorkshop(ORMPersistable):
    """A kind of a user's, with a column of its own for what it was made from."""

    __tablename__ = "workshops_of_lineage"
    metadata = MetaData()  # of its own: no other test's schema has this table
    kind = "workshop"

    model_id: Mapped[UUID | None] = mapped_column(ForeignKey(ORMModel.__table__.c.id))


class Workshop(Persistable):
    """An object of that kind."""

    kind = "workshop"
    model: Lineage[Guess] = Lineage("model")
    boxed: Lineage[Box] = Lineage("persistable")


def test_kinds_of_users_are_part_of_it(database: Database) -> None:
    """A kind that a user brings is followed through its own column and through the lineage table, both ways."""
    made = project()
    held = Box(name="box", data=1).save()
    workshop = Workshop(name="shop", model=made["guess"], boxed=held).save()
    assert ("shop", "model", "guess") in shown(workshop.lineage())
    assert ("shop", "boxed", "box") in shown(workshop.lineage())
    assert ("shop", "model", "guess") in shown(made["corpus"].lineage())
    assert shown(held.lineage()) == {("shop", "boxed", "box")}


def test_an_edge_to_what_is_not_known_here(local: Database) -> None:
    """A child of a kind that this process does not know is shown with its kind and id, and is no error."""
    made = Box(name="box", data=1).save()
    stranger = {"child": uuid4(), "child_kind": "gadget", "role": "part", "persistable_id": made.id}
    with local.engine.begin() as connection:
        connection.execute(sa.insert(tables.metadata.tables["lineage"]), [stranger])
    assert f"gadget {stranger['child']} (not in this database) as part" in made.lineage().tree()


def test_names_are_only_text(local: Database) -> None:
    """Whatever a name holds, it cannot end a label, begin a line or a tag, or be taken for syntax, in any of the forms."""
    held = Box(name=NASTY, data=1).save()
    child = Pair(name="child", left=1, right=1, source=held).save()
    graph = child.lineage()
    assert len(graph.tree().splitlines()) == 3
    lines = graph.mermaid().splitlines()
    assert len(lines) == 5
    (label,) = [line for line in lines if "Box" in line]
    assert re.fullmatch(r' +n\d\["[^"\[\]<>`\\$%{}|]*"\]', label)
    assert label.count("#") == label.count(";")
    (label,) = [line for line in graph.dot().splitlines() if "Box" in line]
    inner = re.fullmatch(r' +n\d \[label="(.*)"\];', label)
    assert inner is not None
    assert not re.search(r'(?<!\\)(\\\\)*"', inner[1])
    html = graph._repr_html_()
    assert "<b>&" not in html
    assert html.count("<ul>") == html.count("</ul>")
    assert html.count("<li>") == html.count("</li>")
    assert json.loads(json.dumps(graph.to_dict()))["edges"][0]["role"] == "source"
    assert str(graph) == graph.tree()
    assert "2 records, 1 edges" in repr(graph)
    assert repr(held.lineage()).isprintable()


def test_misuse(local: Database) -> None:
    """An unsaved object, a wrong depth, and a class that calls something of its own `lineage` are told what to do."""
    with pytest.raises(UnsavedReferenceError, match="save\\(\\) it first"):
        Box(name="box", data=1).lineage()
    held = Box(name="box", data=1).save()
    for wrong in (-1, 1.5, True, "2"):
        with pytest.raises(LineageError, match="depth is"):
            held.lineage(depth=wrong)
    with pytest.raises(IdentityError, match="choose another name"):
        type("Clash", (Persistable,), {"lineage": Lineage("model")})
    with pytest.raises(IdentityError, match="choose another name"):
        type("Clash", (Persistable,), {"_parents": Lineage("model")})
    with pytest.raises(UnsavedReferenceError), simpleml.transaction():
        Box(name="later", data=1).save().lineage()


# what differs


def test_what_differs_between_two_versions(database: Database) -> None:
    """Config, parameters, inputs, what differs in these, artifacts, libraries and metrics are told, and nothing else."""
    one = project(C=1.0, same=[1, 2])["guess"]
    corpus = Corpus(name="data", rows=[1, 2]).save()
    cleaner = Cleaner(name="clean", dataset=corpus, fitted=1, config={"deep": {"er": None}}).save()
    two = Guess(name="guess", pipeline=cleaner, corpus=corpus, weights=2, config={"C": 0.5, "same": [1, 2]}).save()
    score = Score(name="accuracy", model=two, dataset=corpus)
    score.values = {"value": 0.75}
    score.save()
    found = simpleml.diff(one, two)
    told = {(entry.part, entry.path): (entry.before, entry.after) for entry in found}
    assert told["config", "C"] == (1.0, 0.5)
    assert told["metrics", "accuracy.value"] == (0.5, 0.75)
    assert told["inputs", "pipeline.config.deep.er"] == (NOTHING, None)
    assert set(told) == {
        ("config", "C"),
        ("artifacts", "weights"),
        ("inputs", "corpus"),
        ("inputs", "corpus.artifacts.rows"),
        ("inputs", "pipeline"),
        ("inputs", "pipeline.config.deep.er"),
        ("metrics", "accuracy.value"),
    }
    text = str(found)
    assert text.startswith("model guess:1 → model guess:2\n  config\n    C: 1.0 → 0.5\n")
    assert "pipeline.config.deep.er: nothing → None" in text
    same = simpleml.diff(one, one)
    assert not same
    assert str(same) == "model guess:1 → model guess:1: no difference"
    assert len(found.to_dict()["differences"]) == len(found) == 7
    assert "before" not in found.to_dict()["differences"][-2]


def test_differences_are_only_text(local: Database) -> None:
    """What is shown of values and names is one line each, and escaped in HTML."""
    one, two = (Box(name=NASTY, data=1, config={"<i>": value}).save() for value in ("<script>\n", "x" * 500))
    found = simpleml.diff(one, two)
    assert len(str(found).splitlines()) == 3
    assert "<script>" not in found._repr_html_()
    assert "<i>" not in found._repr_html_()
    assert "…" in str(found)
    with pytest.raises(UnsavedReferenceError, match="save\\(\\) it first"):
        simpleml.diff(one, Box(name="box", data=1))
    for wrong in ("box:1", None):
        with pytest.raises(LineageError, match="is no object that was saved"):
            simpleml.diff(one, wrong)
