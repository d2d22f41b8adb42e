"""The tables of a run directory: read, written, filtered by size."""
