"""What a Markdown page holds that can be run: its fenced blocks, with the lines they stand on, and its tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"

CHECKS = '''"""What `# → …` and `# raises …` mean in the README."""

from contextlib import contextmanager


def check(value, wanted, line):
    """Compare what a line returned with what the page says."""
    assert repr(value) == wanted, f"README.md:{line}: the page says {wanted}, but it is {value!r}"


@contextmanager
def raises(wanted, line):
    """Expect the error that the page names."""
    try:
        yield
    except Exception as error:
        names = [cls.__name__ for cls in type(error).__mro__]
        assert wanted in names, f"README.md:{line}: the page says {wanted}, but it is {error!r}"
        print(f"README.md:{line}: {wanted}: {error}")
    else:
        raise AssertionError(f"README.md:{line}: the page says {wanted}, but nothing was raised")
'''
"""A module beside the script that `script` returns."""

_FENCE = re.compile(r"```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_RETURNS = re.compile(r"(?P<indent>\s*)(?P<code>\S.*?)  # → (?P<wanted>.+)")
_RAISES = re.compile(r"(?P<indent>\s*)(?P<code>\S.*?)  # raises (?P<wanted>\w+)")


class Block(NamedTuple):
    """A fenced block: its language, the number of its first line, its text."""

    language: str
    line: int
    text: str


def blocks(page: str, language: str) -> list[Block]:
    """Return the fenced blocks of a language, in their order."""
    return [
        Block(found[1], page.count("\n", 0, found.start()) + 2, found[2])
        for found in _FENCE.finditer(page)
        if found[1] == language
    ]


def script(page: str) -> str:
    """Return the Python blocks as one script in which every line has the number that it has in the page."""
    lines = [""] * page.count("\n")
    for block in blocks(page, "python"):
        for place, line in enumerate(block.text.splitlines(), block.line):
            lines[place - 1] = _checked(line, place)
    assert not lines[0], "a page begins with its title"
    lines[0] = "from readme_checks import check, raises"
    return "\n".join(lines) + "\n"


def _checked(line: str, number: int) -> str:
    """Return a line with its trailing claim made into a check."""
    if found := _RETURNS.fullmatch(line):
        return f"{found['indent']}check(({found['code']}), {found['wanted']!r}, {number})"
    if found := _RAISES.fullmatch(line):
        return f"{found['indent']}with raises({found['wanted']!r}, {number}): {found['code']}"
    return line


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table whose heading row begins with `heading`, without that row."""
    return [cells for _, cells in _table(page, heading)]


def _table(page: str, heading: str) -> Iterator[tuple[int, list[str]]]:
    lines = page.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    for number in range(start + 2, len(lines)):
        if not lines[number].startswith("|"):
            return
        yield number + 1, [cell.strip() for cell in lines[number].strip("|").split("|")]
