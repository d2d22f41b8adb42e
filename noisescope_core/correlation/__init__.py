"""Correlation of noise residuals: PCE of pairs (`pairs`), surfaces over all shifts (`surface`).

Compiled loops are in `kernels`, what is worked out once per residual in `spectra`.
"""

from noisescope_core.correlation.pairs import pce, pce_between, pce_matrix
from noisescope_core.correlation.surface import correlation_surface, peak_shift

__all__ = ["correlation_surface", "pce", "pce_between", "pce_matrix", "peak_shift"]
