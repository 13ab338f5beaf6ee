"""The engine: what requests have in common is computed once."""
