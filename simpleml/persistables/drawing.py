"""A lineage graph as text: a tree, Mermaid, DOT, HTML. Names are data in all of them, whatever characters they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simpleml.persistables.graph import LineageGraph, LineageKey, LineageLink

_PLAIN = re.compile(r"[^A-Za-z0-9 _.,:()/-]")  # what is written as a number in Mermaid


def tree(graph: LineageGraph) -> str:
    """Return one line for every edge, drawn as a tree; what was shown already is not unfolded again."""
    lines = list(_lines(graph))
    following: set[int] = set()  # levels at which another line comes
    drawn = []
    for level, text in reversed(lines):
        bars = "".join("│  " if above in following else "   " for above in range(1, level))
        corner = "" if level == 0 else "├─ " if level in following else "└─ "
        drawn.append(f"{bars}{corner}{printable_line(text)}")
        following = {above for above in following if above < level} | {level}
    return "\n".join(reversed(drawn))


def html(graph: LineageGraph) -> str:
    """Return the same tree as nested lists; every text is escaped."""
    parts, depth = [], -1
    for level, text in _lines(graph):
        parts.append("<ul><li>" * (level - depth) if level > depth else "</li></ul>" * (depth - level) + "</li><li>")
        parts.append(f"<b>{escape(text)}</b>" if level == 0 else escape(text))
        depth = level
    return "".join(parts) + "</li></ul>" * (depth + 1)


def mermaid(graph: LineageGraph) -> str:
    """Return a flowchart, in which arrows go from what was there first to what was made from it."""
    names = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    lines = ["flowchart TB"]
    lines += [f'    {names[key]}["{_entities(str(node))}"]' for key, node in graph.nodes.items()]
    lines += [f'    {names[link.parent]} -->|"{_entities(link.role)}"| {names[link.child]}' for link in graph.edges]
    return "\n".join([*lines, f"    style {names[graph.root]} stroke-width:3px"])


def dot(graph: LineageGraph) -> str:
    """Return a directed graph, in which arrows go from what was there first to what was made from it."""
    names = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    lines = ["digraph lineage {", "    node [shape=box];"]
    for key, node in graph.nodes.items():
        lines.append(f"    {names[key]} [label={_quoted(str(node))}{', penwidth=3' if key == graph.root else ''}];")
    lines += [f"    {names[link.parent]} -> {names[link.child]} [label={_quoted(link.role)}];" for link in graph.edges]
    return "\n".join([*lines, "}"])


def _lines(graph: LineageGraph) -> Iterator[tuple[int, str]]:
    """Give the levels and the texts of the tree."""
    yield 0, str(graph.nodes[graph.root])
    for title, upward in (("made from", True), ("used by", False)):
        links = graph.parents if upward else graph.children
        if not links(graph.root):
            continue
        yield 1, title
        shown = {graph.root}
        waiting = [(2, link) for link in reversed(links(graph.root))]
        while waiting:  # and not by a call for each level: chains may be deeper than calls can be
            level, link = waiting.pop()
            there = link.parent if upward else link.child
            more = links(there)
            again = there in shown
            yield level, f"{_told(graph, link, there)}{' (see above)' if again and more else ''}"
            shown.add(there)
            waiting += [] if again else [(level + 1, further) for further in reversed(more)]


def _told(graph: LineageGraph, link: LineageLink, there: LineageKey) -> str:
    text = str(graph.nodes[there])
    if there == link.child:
        return text if link.role == link.parent[0] else f"{text} as {link.role}"
    return text if link.role == there[0] else f"{link.role}: {text}"


def printable_line(text: str) -> str:
    """Return text without anything that would begin a line, or that a terminal would obey."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _entities(text: str) -> str:
    return _PLAIN.sub(lambda found: f"#{ord(found[0])};", text)


def _quoted(text: str) -> str:
    escaped = printable_line(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
