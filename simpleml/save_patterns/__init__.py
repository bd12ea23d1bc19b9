"""Save patterns: how fitted values become durable bytes and come back.

`protocols` says what each part guarantees, `catalogue` finds patterns by name or by the type of a value, `pattern` joins a
serializer with the object store, `trust` decides what may be read, `serializers` and `locations` hold the parts.
"""
