"""The nouns: frozen dataclasses with invariants and nothing else."""
