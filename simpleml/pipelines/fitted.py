"""`FittedOnce`: what pipelines and models have in common, which are fitted once and say what they were fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from simpleml.errors import SimpleMLError
from simpleml.persistables.related import MADE_FROM

if TYPE_CHECKING:
    from simpleml.persistables import Persistable as _Fitted
else:
    _Fitted = object

_IN_CONFIG = ("fitted_on", "fitted_state", "fit_params")
_IN_STATE = ("fit_seconds", "rows", "data_hash", MADE_FROM)


class FittedOnce(_Fitted):
    """The part of a persistable that sees to it that it is fitted once; a copy made by `new_version()` may be fitted again."""

    _error: ClassVar[type[SimpleMLError]]  # what refusals are

    _renewed = False

    def new_version(self) -> Self:
        """Return an unsaved copy: `save()` it as the next version, or first change it and fit it again, once."""
        made = super().new_version()
        made._renewed = True  # noqa: SLF001 - an object of this very class
        return made

    def _forget_fit(self) -> None:
        """Make it unfitted: nothing that was written down of an earlier fit stays."""
        for key in _IN_CONFIG:
            self.config.pop(key, None)
        for key in _IN_STATE:
            self.state.pop(key, None)
        self.state["fitted"] = False

    def _note_fit(self, **facts: Any) -> None:
        """Write down that it was fitted, on what, and what else there is to say of that."""
        self.state.update(fitted=True, **facts)
        self._note_parents()
        self._renewed = False

    def _refuse_fitted(self, call: str) -> None:
        """Refuse what only an unfitted one allows."""
        if self.is_saved or (self.state.get("fitted") and not self._renewed):
            raise self._error(
                f"{self!r} is fitted, and a {self.kind} is fitted once, so {call} is refused: make a new {type(self).__name__}(…), "
                "or take a copy that may be fitted again, x = x.new_version()"
            )
