"""Every name that the documents give to something is the name of something."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from simpleml.settings.keys import KEYS
from tests.docs.markdown import README, ROOT, blocks, rows

PAGE = README.read_text()
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
DECISIONS = sorted((ROOT / "config/decisions").glob("*.md"))


def resolve(path: str) -> object:
    """Return what a dotted path names: a module, or a member (declared ones count) of what is before it."""
    found: object = importlib.import_module(path.partition(".")[0])
    parts = path.split(".")
    for number, part in enumerate(parts[1:], 2):
        if isinstance(found, type) and any(part in getattr(cls, "__annotations__", {}) for cls in found.__mro__):
            return getattr(found, part, part)
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(".".join(parts[:number]))
    return found


@pytest.mark.parametrize("path", ["simpleml.Persistible", "simpleml.orm.tables.Blob.lease", "simpleml.cloud"])
def test_a_name_that_names_nothing_is_found(path):
    """The check below fails for a class, a member and a module that do not exist."""
    with pytest.raises((ImportError, AttributeError)):
        resolve(path)


@pytest.mark.parametrize("row", rows(PAGE, "word"), ids=lambda row: row[0])
def test_every_word_is_in_the_code(row):
    """Each word of the table leads to the class, function or member that carries it."""
    [path] = re.findall(r"`(simpleml[\w.]*)`", row[2])
    resolve(path)


def test_every_dotted_name_in_the_text_is_there():
    """`simpleml.…` in the text of the README and of the decisions names a module or one of its members."""
    texts = [PROSE, *(path.read_text() for path in DECISIONS)]
    named = {name for text in texts for name in re.findall(r"`(simpleml(?:\.\w+)+)[`(]", text)} - {"simpleml.toml"}
    assert len(named) > 20
    for name in named:
        resolve(name)


@pytest.mark.parametrize("path", [README, ROOT / "CHANGELOG.md", *DECISIONS], ids=lambda path: path.name)
def test_every_file_that_is_named_is_there(path: Path):
    """Paths and links into the project lead somewhere."""
    text = path.read_text()
    named = re.findall(r"`((?:simpleml|tests|config|examples)/[\w./-]*)`", text)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in links if not (path.parent / link).exists()]
    assert missing == []


def test_every_setting_in_the_text_exists():
    """`key = value` in the text of the README names a key of the settings file."""
    named = set(re.findall(r'`(\w+) = "\w+"`', PROSE))
    assert named
    assert named <= {key.name for key in KEYS if key.in_file}


def test_every_block_is_of_a_language_that_is_checked():
    """Python, shell and TOML blocks are run or parsed; there is no block of another sort."""
    fences = re.findall(r"^```(\w*)$", PAGE, re.MULTILINE)
    assert set(fences) == {"python", "sh", "toml", ""}
    assert fences.count("") == sum(len(blocks(PAGE, language)) for language in ("python", "sh", "toml"))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_three_parts(path: Path):
    """Each decision has a number, a title, and context, decision and consequences of at most ten lines each, tables aside."""
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+", path.stem)
    title, *parts = re.split(r"^## ", path.read_text(), flags=re.MULTILINE)
    assert title.startswith(f"# {path.stem[:4]} ")
    assert [part.partition("\n")[0] for part in parts] == ["Context", "Decision", "Consequences"]
    for part in parts:
        lines = [line for line in part.strip().splitlines()[1:] if line and not line.startswith("|")]
        assert 1 <= len(lines) <= 10


def test_decisions_are_numbered_without_a_gap():
    """The decisions are numbered from 1 on, each number once."""
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
