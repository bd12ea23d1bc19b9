"""Objects that are kept in a database: bytes in chunks (`chunks`), frames as tables that anyone can select from (`tables`)."""
