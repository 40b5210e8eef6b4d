"""One file per question; this is the Python API."""
