"""Places that bytes are kept in: `keys` (what a key may be), `spool` (before they have one), `local` (a folder)."""
