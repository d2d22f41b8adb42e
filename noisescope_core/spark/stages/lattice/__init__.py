"""The lattice way on Spark: what its search looks at, out of the tables of a run."""
