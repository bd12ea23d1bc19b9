"""Contract suites: subclass the one for your seam, say what it is to be tried on, and pytest proves the implementation.

```python
from simpleml.testing.serializers import SerializerContract

class TestMySerializer(SerializerContract): ...
```
"""
