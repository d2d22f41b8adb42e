"""The page that a run leaves behind for people."""

from noisescope_core.report.render import render_report

__all__ = ["render_report"]
