"""Tables without Spark: every column, named rows, where they lie, and what a run left behind."""
