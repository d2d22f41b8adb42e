"""Commands on the Delta tables of scans: scan, registry, maintain, erase."""
