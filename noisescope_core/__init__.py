"""Blind detection of generated images: noise residuals, PCE, clusters, fingerprints.

The modules of this package follow the data's way, one step each: ``decode``, ``residual``,
``calibration``, ``correlation``, ``clustering``, ``texture``, ``fingerprint``, ``detection``,
``evaluation``. They take and return arrays and import no Spark; ``spark`` runs them on tables.
"""

__version__ = "0.1.0"
