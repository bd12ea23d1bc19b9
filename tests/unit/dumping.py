"""Values that a serializer writes and reads back, for the tests of one serializer each."""

from __future__ import annotations

import json

from simpleml.testing.serializers import WriteOnly


def dump(serializer, value):
    """Return the bytes and the details, as a record would keep them."""
    stream = WriteOnly()
    details = serializer.dump(value, stream)
    return stream.data, json.loads(json.dumps(dict(details), allow_nan=False))


def there_and_back(serializer, value):
    """Return what is read of what was written."""
    data, details = dump(serializer, value)
    return serializer.load(data, format=1, details=details)
