"""Experiments: what is tested against what, by which methods, under which attacks, how often.

A file says it (`definition`), images are drawn and made (`pictures`), methods answer (`methods`),
each answer is a row of one table (`table`), and summaries are drawn from that table alone
(`summary`).
"""
