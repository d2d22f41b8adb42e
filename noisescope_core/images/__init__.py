"""Image files: decoding, compression, watermarks, records, the reference made like them."""

Size = tuple[int, int]
"""(width, height), pixels."""
