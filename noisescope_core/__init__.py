"""Blind detection of generated images: noise residuals, PCE, clusters, fingerprints.

The packages follow the data's way. ``images`` decodes, ``correlation`` compares noise residuals,
``paper`` and ``whitened`` are the two methods, ``lattice`` looks at images of all sizes at once,
``tables`` declares and reads results; these take and return arrays and import no Spark. ``spark``
runs them on tables, ``report``, ``app`` and ``experiments`` make something of the results. ``api``
is the interface for Python, ``cli`` the command line.

Progress goes to the logger ``noisescope`` at the level INFO, which stays silent unless the program
that imports this package configures logging.
"""

import logging

__version__ = "0.1.0"

logging.getLogger("noisescope").addHandler(logging.NullHandler())
