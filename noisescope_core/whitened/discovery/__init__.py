"""Patterns that tested images share and reference images lack, found without an example."""
