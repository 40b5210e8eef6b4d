"""All input and output, thin."""
