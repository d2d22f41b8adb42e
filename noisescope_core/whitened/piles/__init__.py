"""Piles too large for all pairs: how a sample is drawn that is searched for good, and its cost."""
