"""One fingerprint of the registry as facts in a terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from noisescope_core.report.figures import fingerprint_pictures, pixels_of, score_figure
from noisescope_core.report.render import template

Details = Mapping[str, Any]
"""Of a fingerprint, from `registry.describe_fingerprint`: its row, files, scores and decisions."""


def facts(details: Details) -> list[tuple[str, str]]:
    """List what is known of a fingerprint, name and value."""
    row = details["fingerprint"]
    state = row["state"] + (f" into {row['merged_into']}" if row["merged_into"] else "")
    named = [
        ("fingerprint", row["fingerprint_id"]),
        ("state", state),
        ("note", row["note"]),
        ("size", f"{row['width']} x {row['height']}"),
        ("maker", row["maker"]),
        ("members", f"{row['images']:,} images that it was found in"),
        ("carried by", f"{details['files']:,} files"),
        ("scans", f"first {row['first_scan']}, last {row['last_scan']}"),
        ("cohesion", None if row["cohesion"] is None else f"{row['cohesion']:.2f} times chance"),
        ("bar", None if row["threshold"] is None else f"score above {row['threshold'] ** 2:.1f}"),
        ("files", f"{row['header']}: {row['same_header']:.0%}" if row["header"] else None),
        ("watermark", row["watermark"]),
    ]
    return [(name, value) for name, value in named if value]


def render_fingerprint(details: Details) -> str:
    """Page on a fingerprint, which needs no other file and no network."""
    row = details["fingerprint"]
    bar = None if row["threshold"] is None else row["threshold"] ** 2
    panels = [
        ("Files that carry none", details["others"], None),
        ("Files that carry it", details["scores"], None),
    ]
    return template("fingerprint.html.j2").render(
        fingerprint=row,
        facts=facts(details)[2:],
        views=fingerprint_pictures(pixels_of(row)),
        # Made of numbers alone, so there is nothing in it to escape.
        figure=Markup(score_figure(panels, bar)),  # noqa: S704
        decisions=details["decisions"],
        files=details["files"],
        best=details["best"],
    )
