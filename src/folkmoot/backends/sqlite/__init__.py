"""One SQLite file: the store of the embedded server."""
