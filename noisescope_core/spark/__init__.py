"""Spark glue: tables in, arrays to the heart and back, tables out. One module per stage.

``extract`` reads images and writes residuals, ``calibrate``, ``correlate``, ``cluster`` and
``score`` read the tables before them and write their own; ``detect`` runs them all.
"""
