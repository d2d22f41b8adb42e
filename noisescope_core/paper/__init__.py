"""The paper's method to the letter (Pu and others, ACSAC 2020), a module a step.

`calibration` sets T_merge on the reference set, `clustering` merges images whose PCE exceeds it,
`classifier` tells a generator's fingerprint by its texture, `detector` tests every image against the
fingerprints. `find` is the whole search among the images of one size, `method` the record that the
rest of the program goes by; `cost`, `explaining` and `words` are what plan, `explain` and report ask
of it.
"""
