"""One number per function; the docstring states the formula and its source."""
