"""The paper's method on Spark: pairs as a blocked join, and what its `find` looks at."""
