"""Scheduled scans: what arrives, the registry, verdicts that change, care for the Delta tables."""
