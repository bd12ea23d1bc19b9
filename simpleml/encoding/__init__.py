"""The typed JSON codec: what `decode` gives back equals what `encode` was given, in value, type and float bits.

```python
encode({"C": 0.5, "name": "x"})   # {"C": 0.5, "name": "x"}: plain data stays plain, so that SQL can query it
encode({"shape": (2, 3)})         # {"shape": {"__simpleml__": "tuple", "value": [2, 3]}}
```

Everything that is no plain JSON is one object with exactly two keys, `{"__simpleml__": "<tag>", "value": <payload>}`:

| tag | value | payload |
|---|---|---|
| (none) | None, bool, int of 64 bits, finite float, str, list, dict with string keys | itself |
| `str` | a string with NUL or lone surrogates, which databases refuse | escaped: backslash and four hex digits |
| `int` | an int beyond 64 bits, which databases round | hexadecimal |
| `float` | nan, inf, -inf | the word; the bits for any other NaN |
| `dict` | a dict with other keys, or with the key `__simpleml__` | `[[key, value], …]` |
| `tuple` `set` `frozenset` `range` `slice` | | list |
| `OrderedDict` `Counter` | | `[[key, value], …]` |
| `defaultdict` `deque` | | `factory`, `items`; `maxlen`, `items` |
| `bytes` `bytearray` | | base64 |
| `complex` `Fraction` | | two numbers |
| `Decimal` `UUID` | | text |
| `PosixPath` `WindowsPath` `PurePosixPath` `PureWindowsPath` | | text |
| `datetime` `time` | | ISO text, or `at`, `zone`, `fold` |
| `date` `timedelta` `timezone` | | ISO text; days, seconds, microseconds; those and a name |
| `zoneinfo.ZoneInfo` `pytz.timezone` | | key; for a localized zone or an offset of pytz, a list |
| `enum` `dataclass` `namedtuple` | found again by name | `class` (`module:qualname`), `state` |
| `numpy.ndarray` | | `dtype`, `shape`, `data` (base64, C order) or `items` or `fields` |
| `numpy.scalar` `numpy.dtype` | | `dtype`, `value`, or `array`; the dtype |
| `pandas.DataFrame` | | `columns`, `index`, `data` (one column each) |
| `pandas.Series` `pandas.Index` `pandas.array` | | columns |
| `pandas.Timestamp` `Timedelta` `Period` `Interval` `NaT` `NA` (all `pandas.…`) | | fields, or null |
| `polars.DataFrame` `polars.Series` | | Arrow IPC, base64 |
| `json` | a part nested deeper than databases take | JSON text |
| any other | a registered class (`register_encoder`) | what its encoder returned |

Decoding executes nothing that stored JSON could choose: there is no pickle, a class is only found if it is registered
or imported already, and it is restored without its constructor (items of sets and keys of dicts are hashed, though).
Only numpy, pandas, polars, zoneinfo and pytz are imported, for exactly their tags above. What this process cannot
restore stays an `Opaque`, which is written back unchanged. Aliases are not kept: one list in two places comes back as
two lists. A MySQL server's binary JSON sorts the keys of objects; text columns keep their order.
"""

from __future__ import annotations

from simpleml.encoding import containers, scalars, times  # noqa: F401  (each registers its codecs)
from simpleml.encoding.codec import decode, dumps, encode, loads
from simpleml.encoding.opaque import Opaque
from simpleml.encoding.registration import register_encoder
from simpleml.encoding.walk import MAX_DEPTH

__all__ = ["MAX_DEPTH", "Opaque", "decode", "dumps", "encode", "loads", "register_encoder"]
