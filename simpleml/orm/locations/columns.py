"""How each column of a frame is held by a column of a table: typed and readable, and exact in both directions.

| in the frame | in the table |
|---|---|
| boolean, integers, text, bytes, date, decimal | the like; `uint64` beyond 63 bits as a decimal number; decimals as text where there are none |
| floats | double; a NaN, an infinity or -0.0 that the database does not keep is NULL or 0 with a code in a column beside it |
| a float column with NaN and no NULL | double, whose NULLs stand for NaN, where the database has no NaN |
| moments of whole microseconds in the years 1 to 9999 | timestamp; with a zone: the same instant in UTC |
| other moments, dates, times of day, durations | a whole number, of what `unit` says |
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from simpleml.orm.locations.bulk import Abilities
from simpleml.orm.locations.canonical import fixed, is_bytes, is_text, large, spread
from simpleml.save_patterns.serializers.frames import arrow
from simpleml.save_patterns.serializers.plan import Refused

ROW = "sml_row"
"""The column that counts the rows of a table from 0, in the order of the frame."""

_CODES = {"nan": 1, "inf": 2, "-inf": 3, "-0": 4}
_FLOATS = {1: float("nan"), 2: float("inf"), 3: float("-inf"), 4: -0.0}
_DAYS = (-719162, 2932896)  # 0001-01-01 and 9999-12-31, from 1970-01-01
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NAME_BYTES = 63
_SMALLEST = {8: "int16", 16: "int16", 32: "int32", 64: "int64"}
_UNSIGNED = {8: "int16", 16: "int32", 32: "int64"}


@dataclass(frozen=True, slots=True)
class Form:
    """How one column is held: `kind` is a type of `bulk`, `label` the column's own name, for whoever looks.

    `unit` says what a number stands for where it is not itself. With `nan`, NULL is NaN; `codes` is the column that
    tells which floats are not what they seem: 1 NaN, 2 infinity, 3 minus infinity, 4 minus zero.
    """

    name: str
    label: str
    type: str
    kind: str
    unit: str = ""
    nan: bool = False
    codes: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the form as data, without what is as usual."""
        return {key: value for key, value in asdict(self).items() if value or key in {"name", "label", "type", "kind"}}


def form_of(data: dict[str, Any]) -> Form:
    """Return the form that `to_json` gave."""
    return Form(**data)


class Facts:
    """What the values of one column are like, gathered block by block: what decides how they are held."""

    def __init__(self) -> None:
        self.nulls = False
        self.odd: set[str] = set()
        self.low: int | None = None
        self.high: int | None = None
        self.whole = True
        self.nul = False

    def observe(self, array: Any) -> None:
        """Look at the next rows."""
        types, kind = arrow().types, array.type
        self.nulls = self.nulls or array.null_count > 0
        if types.is_floating(kind):
            mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
            self._floats(fixed(array, mask).view(f"f{kind.bit_width // 8}"))
        elif types.is_uint64(kind) or types.is_date32(kind) or types.is_timestamp(kind):
            valid = array.drop_null()
            values = fixed(valid) if types.is_uint64(kind) else fixed(valid).view(f"i{kind.bit_width // 8}")
            if len(values):
                self.low = min(int(values.min()), self.low if self.low is not None else 2**64)
                self.high = max(int(values.max()), self.high if self.high is not None else -(2**64))
                if types.is_timestamp(kind) and kind.unit == "ns":
                    self.whole = self.whole and not (values % 1000).any()
        elif is_text(kind) and not self.nul:
            self.nul = b"\0" in spread(large(array))[1].tobytes()

    def _floats(self, values: Any) -> None:
        import numpy as np

        odd = ~np.isfinite(values)
        if odd.any():
            words = (("nan", np.isnan), ("inf", np.isposinf), ("-inf", np.isneginf))
            self.odd.update(word for word, is_ in words if is_(values[odd]).any())
        if (values.view(f"i{values.itemsize}") == -(1 << 8 * values.itemsize - 1)).any():  # nothing but the sign
            self.odd.add("-0")

    def within(self, low: int, high: int) -> bool:
        """Whether every value lies between these."""
        return self.low is None or self.high is None or (low <= self.low and self.high <= high)


def lay_out(schema: Any, facts: Iterable[Facts], abilities: Abilities) -> list[Form]:
    """Return how each column is held by a database of these abilities; `Refused` names the column that cannot be."""
    names = safe_names([field.name for field in schema], abilities)
    forms = []
    for position, (field, fact) in enumerate(zip(schema, facts, strict=True)):
        made = partial(Form, names[position], field.name, str(field.type))
        try:
            forms.append(_form(made, position, field.type, fact, abilities))
        except Refused as error:
            raise Refused(f"the column {field.name!r:.80}: {error}") from error
    count = 1 + sum(1 + bool(form.codes) for form in forms)
    if count > abilities.columns:
        raise Refused(f"it takes {count} columns, and a table of this database has {abilities.columns} at most")
    return forms


def _form(made: Callable[..., Form], position: int, kind: Any, fact: Facts, abilities: Abilities) -> Form:
    types = arrow().types
    if types.is_null(kind):
        return made(kind="int16")
    if types.is_boolean(kind):
        return made(kind="boolean")
    if types.is_uint64(kind):
        return made(kind="int64" if fact.within(0, 2**63 - 1) else _decimal(20, 0, abilities))
    if types.is_integer(kind):
        return made(kind=(_SMALLEST if types.is_signed_integer(kind) else _UNSIGNED)[kind.bit_width])
    if types.is_floating(kind):
        lost = fact.odd & abilities.no_floats
        if lost == {"nan"} and not fact.nulls:
            return made(kind="double", nan=True)
        return made(kind="double", codes=f"sml_codes_{position}" if lost else "")
    if types.is_decimal(kind):
        return made(kind=_decimal(kind.precision, kind.scale, abilities))
    if is_text(kind):
        if fact.nul and not abilities.nul:
            raise Refused("it holds text with the character NUL, which this database cannot keep")
        return made(kind="text")
    if is_bytes(kind):
        return made(kind="binary")
    return _moment(made, kind, fact)


def _decimal(precision: int, scale: int, abilities: Abilities) -> str:
    most, finest = abilities.decimals
    fits = 0 <= scale <= min(precision, finest) and precision <= most
    return f"decimal:{precision}:{scale}" if fits else "text"


def _moment(made: Callable[..., Form], kind: Any, fact: Facts) -> Form:
    types = arrow().types
    if types.is_date32(kind):
        fits = fact.within(*_DAYS)
        return made(kind="date") if fits else made(kind="int64", unit="days since 1970-01-01")
    if types.is_timestamp(kind):
        per_day = 86400 * _PER_SECOND[kind.unit]
        if fact.whole and fact.within(_DAYS[0] * per_day, (_DAYS[1] + 1) * per_day - 1):
            return made(kind="instant" if kind.tz else "moment")
        return made(kind="int64", unit=f"{kind.unit} since 1970-01-01{' UTC' if kind.tz else ''}")
    if types.is_time(kind):
        return made(kind="int64", unit=f"{kind.unit} since midnight")
    return made(kind="int64", unit=kind.unit)


def safe_names(labels: list[str], abilities: Abilities) -> list[str]:
    """Return names that the database can hold and tells apart: the labels themselves wherever it can."""
    taken = {ROW, *abilities.reserved}
    names = []
    for position, label in enumerate(labels):
        folded = _folded(label)
        plain = (
            label
            and len(label.encode()) <= _NAME_BYTES
            and label == label.strip()
            and label.isprintable()
            and max(label) <= "\uffff"
        )
        if not plain or folded in taken or folded.startswith(("sml_", "column_")):
            label = folded = f"column_{position}"  # noqa: PLW2901 - no label is called so any more
        taken.add(folded)
        names.append(label)
    return names


def _folded(label: str) -> str:
    """Return what a database that tells the fewest names apart makes of a name: neither case nor accents count."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", label).casefold())
    return "".join(character for character in parts if not unicodedata.combining(character))


def held_schema(forms: list[Form]) -> list[tuple[str, str]]:
    """Return the name and kind of every column of the table, but for the one that counts the rows."""
    columns = []
    for form in forms:
        columns.append((form.name, form.kind))
        if form.codes:
            columns.append((form.codes, "int16"))
    return columns


def hold(array: Any, form: Form, carried: Any) -> list[Any]:
    """Return a column as its table holds it: one array of the type that carries its kind, and that of the codes, if any."""
    pa = arrow()
    types, kind = pa.types, array.type
    if types.is_null(kind):
        return [pa.nulls(len(array), carried)]
    if form.kind == "double":
        return _hold_floats(array, form)
    if form.kind in {"moment", "instant"}:
        return [array.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()).cast(carried)]
    if form.unit:
        return [
            array.cast(pa.int32()).cast(carried)
            if types.is_date32(kind) or types.is_time32(kind)
            else array.cast(carried)
        ]
    if is_bytes(kind):
        return [large(array)]
    return [array.cast(carried)]


def _hold_floats(array: Any, form: Form) -> list[Any]:
    import numpy as np

    pa = arrow()
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    values = fixed(array, mask).view(f"f{array.type.bit_width // 8}").astype("f8", copy=False)
    if form.nan:
        return [pa.array(values, mask=np.isnan(values), from_pandas=False)]
    if not form.codes:
        return [pa.array(values, mask=mask, from_pandas=False)]
    codes = np.zeros(len(values), "i2")
    for code, found in (
        (1, np.isnan(values)),
        (2, np.isposinf(values)),
        (3, np.isneginf(values)),
        (4, np.signbit(values) & (values == 0)),
    ):
        codes[found] = code
    shown = np.where(codes == 4, 0.0, values)
    hidden = (codes > 0) & (codes < 4)
    hidden = hidden if mask is None else hidden | mask
    return [pa.array(shown, mask=hidden, from_pandas=False), pa.array(codes, mask=codes == 0)]


def release(columns: list[Any], form: Form, kind: Any) -> Any:
    """Return the column of type `kind` of which `hold` made these arrays."""
    pa = arrow()
    types, array = pa.types, columns[0]
    if types.is_null(kind):
        return pa.nulls(len(array))
    if form.kind == "double":
        return _release_floats(columns, form, kind)
    if form.kind in {"moment", "instant"}:
        return array.cast(pa.int64()).cast(pa.timestamp("us", kind.tz)).cast(kind)
    if form.unit:
        return array.cast(pa.int32()).cast(kind) if types.is_date32(kind) or types.is_time32(kind) else array.cast(kind)
    return array.cast(kind)


def _release_floats(columns: list[Any], form: Form, kind: Any) -> Any:
    import numpy as np

    pa = arrow()
    array, width = columns[0], kind.bit_width // 8
    mask = array.is_null().to_numpy(zero_copy_only=False)
    values = fixed(array, mask).view("f8")
    if form.nan:
        values = np.where(mask, np.nan, values)
        mask = None
    if form.codes:
        codes = columns[1].fill_null(0).to_numpy(zero_copy_only=False)
        values = values.copy()
        for code, value in _FLOATS.items():
            values[codes == code] = value
        mask = mask & ((codes < 1) | (codes > 3))
    mask = mask if mask is not None and mask.any() else None
    return pa.array(values.astype(f"f{width}"), kind, mask=mask, from_pandas=False)
