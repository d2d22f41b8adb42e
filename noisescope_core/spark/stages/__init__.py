"""The stages of a run, one module each, in the data's order.

`extract` (with `listing`), `calibrate`, `sample`, `correlate`, `cluster`, `score` (with
`verdicts`); `detect` runs them all, then `spark.summary` and `spark.report`. `known` tests against
an earlier run. What a method does by itself is in its package; `methods` lists it.
"""
