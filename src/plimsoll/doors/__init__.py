"""Parse, call ask, render; no arithmetic."""
