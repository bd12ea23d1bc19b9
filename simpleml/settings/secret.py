"""Values that hold a password or token and never show it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_plus

HIDDEN = "***"

_USER = re.compile(r"^(?P<head>(?:[A-Za-z][\w+.-]*://)?[^:/]*:)(?!//).*@", re.DOTALL)
_PARAMETER = re.compile(r"(?P<mark>^|[?&;#\s])(?P<key>[^=?&;#\s/:]+)=[^&]*")
_TELLING = re.compile(
    r"pass|pwd|secret|token|key|sig|credential|auth|conninfo|dsn|odbc_connect|connection_string", re.IGNORECASE
)


class Secret:
    """A text that is had by `reveal()` only: `repr`, `str`, logs and `dataclasses.asdict` show `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


class MaskedText(str):
    """A URL that is a plain string to use, and whose `repr` hides what `masked` hides."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(masked(self))


class MaskedMapping(Mapping[str, str]):
    """An immutable mapping of texts whose `repr` hides passwords and tokens inside URLs."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(
            {key: value if isinstance(value, MaskedText) else masked(value) for key, value in self._items.items()}
        )


class MaskedQuery(MaskedMapping):
    """The same for parameters: one whose name tells of a password or token is hidden whole."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr({key: HIDDEN if tells(key) else masked(value) for key, value in self.items()})


def tells(key: str) -> bool:
    """Say whether a parameter of this name holds a password or token."""
    return _TELLING.search(unquote_plus(key)) is not None


def veiled(value: object) -> object:
    """Return `value` to be shown: what has a telling name is `***`, and every text is `masked`, in whatever it is held."""
    if isinstance(value, Mapping):
        return {str(key): HIDDEN if tells(str(key)) else veiled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [veiled(item) for item in value]
    return masked(value) if isinstance(value, str) else value


def masked(text: str) -> str:
    """Return `text`, a URL or what was meant as one, with its password and every telling parameter as `***`.

    In doubt it hides too much: everything from the first `user:` to the last `@` goes, since a password may hold any
    character that its author forgot to encode.
    """
    text = _USER.sub(lambda found: f"{found['head']}{HIDDEN}@", text)
    return _PARAMETER.sub(
        lambda found: f"{found['mark']}{found['key']}={HIDDEN}" if tells(found["key"]) else found[0], text
    )
