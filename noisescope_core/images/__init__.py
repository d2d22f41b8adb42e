"""Image files: decoding, how they were compressed, watermarks, and the reference made like them."""

Size = tuple[int, int]
"""(width, height), pixels."""
