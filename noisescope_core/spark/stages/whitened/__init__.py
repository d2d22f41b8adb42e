"""The default method on Spark: samples of large piles, correlations, what its `find` looks at."""
