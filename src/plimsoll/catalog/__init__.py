"""Facts shipped with the code, and their loader."""
