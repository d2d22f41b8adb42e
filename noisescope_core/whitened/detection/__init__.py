"""Images tested against the fingerprints found, in place and at all shifts."""
