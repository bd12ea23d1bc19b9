"""`Split` and `SplitContainer`: the sections of some rows, and the splits of some data by their names."""

from __future__ import annotations

from typing import Any, NoReturn, Self

from simpleml.errors import UnknownSplitError, known_names


class Split(dict[str, Any]):
    """Sections by name, as items and as attributes: `split["X"]`, `split.X`, `f(**split)`.

    A section that the split does not have is None as an attribute and a `KeyError` as an item. A section that is called like
    a method of `dict` (`values`) is read as an item.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python, pickle and notebooks look for is no section
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]

    @staticmethod
    def is_null_type(value: object) -> bool:
        """Whether `value` is nothing: None, or data without a row or without a column."""
        if value is None:
            return True
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            return any(isinstance(side, int) and side == 0 for side in shape)
        return isinstance(value, list | tuple | dict | str) and not value

    def squeeze(self) -> Self:
        """Return the split without the sections that are nothing."""
        return type(self)({name: value for name, value in self.items() if not self.is_null_type(value)})

    def copy(self) -> Self:
        """Return a split with the same sections."""
        return type(self)(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def __repr__(self) -> str:
        sections = ", ".join(f"{name}={_shown(value)}" for name, value in self.items())
        return f"{type(self).__name__}({sections})"


class SplitContainer(dict[str, Split]):
    """Splits by name; a name that is not there is an error that lists those that are, and never makes a split."""

    def __missing__(self, name: str) -> NoReturn:
        raise unknown_split("this data", name, self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict.__repr__(self)})"


def unknown_split(owner: str, name: object, known: Any) -> UnknownSplitError:
    """Return the error for a split that `owner` does not have."""
    names = list(known)
    if not names:
        return UnknownSplitError(
            f"{owner} has no split {name!r:.80}: it is not split at all. Take the whole with split=None, or put a column "
            "with the name of each row's split into it (DATASET_SPLIT)"
        )
    return UnknownSplitError(f"{owner} has no split {name!r:.80}; {known_names(map(str, names), near=str(name))}")


def _shown(value: object) -> str:
    """Return the type and the shape of a section: enough for a prompt, without reading any of it."""
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    if isinstance(shape, tuple) and all(isinstance(side, int) for side in shape):
        return f"<{name} {' x '.join(map(str, shape))}>"
    return "None" if value is None else f"<{name}>"
