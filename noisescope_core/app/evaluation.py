"""Verdicts held against labels: confusion counts, precision, recall, F1."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from noisescope_core.errors import UsageError

FAKE = {"fake", "generated", "gan", "synthetic", "1", "true", "yes"}
"""Labels of generated images, lower case."""

REAL = {"real", "photo", "photograph", "camera", "0", "false", "no"}
"""Labels of photographs, lower case."""

PATH_COLUMNS = ("path", "file", "filename", "name", "image")
"""Headers of the column of paths; the first that a file has counts."""

LABEL_COLUMNS = ("label", "is_fake", "fake", "class", "target")
"""Headers of the column of labels; the first that a file has counts."""


def read_labels(file: Path) -> dict[str, str]:
    """Read a CSV file of labels.

    Its header names a path column (`path`, `file`, `filename`, `name` or `image`) and a label
    column (`label`, `is_fake`, `fake`, `class` or `target`); further columns are ignored.

    Returns
    -------
    dict
        Path as written to label, in lower case and without blanks around it.

    Raises
    ------
    UsageError
        Naming the file and what is wrong with it.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read as CSV ({error})") from error
    columns = {(name or "").strip().lower(): name for name in (rows[0] if rows else {})}
    path = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    label = next((columns[name] for name in LABEL_COLUMNS if name in columns), None)
    if path is None or label is None:
        raise UsageError(f"{file}: needs a header with the columns path and label, and rows")
    return {row[path]: (row[label] or "").strip().lower() for row in rows}


def evaluate(verdicts: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> dict[str, Any]:
    """Compare verdicts with labels; a fake image is a positive.

    A label's path may be the verdict's whole path or the end of it, from a folder boundary on.

    Parameters
    ----------
    verdicts : rows with `path`, `status` and `is_fake`
    labels : path to label; what is neither fake nor real is counted and left out

    Returns
    -------
    dict
        `tp`, `fp`, `fn`, `tn`: counts of the scored images. `precision`, `recall`, `f1`: 0..1, 0
        where undefined. `not_scored`: how many `fake` and `real` images have no score; none of the
        above counts them. `other_labels`: verdicts whose label is neither fake nor real.
        `without_verdict`: labels that belong to no verdict. `without_label`: verdicts without one.

    Examples
    --------
    >>> verdicts = [
    ...     {"path": "/data/a.png", "status": "scored", "is_fake": True},
    ...     {"path": "/data/b.png", "status": "scored", "is_fake": False},
    ... ]
    >>> result = evaluate(verdicts, {"a.png": "fake", "b.png": "fake"})
    >>> result["tp"], result["fn"], result["precision"], result["recall"]
    (1, 1, 1.0, 0.5)
    """
    counts = dict.fromkeys(("tp", "fp", "fn", "tn"), 0)
    not_scored = {"fake": 0, "real": 0}
    other_labels = without_label = 0
    used: set[str] = set()
    for row in verdicts:
        key = _label_key(row["path"], labels)
        if key is None:
            without_label += 1
            continue
        used.add(key)
        label = labels[key]
        if label not in FAKE | REAL:
            other_labels += 1
        elif row["status"] != "scored":
            not_scored["fake" if label in FAKE else "real"] += 1
        elif label in FAKE:
            counts["tp" if row["is_fake"] else "fn"] += 1
        else:
            counts["fp" if row["is_fake"] else "tn"] += 1
    return {
        **counts,
        **ratios(counts["tp"], counts["fp"], counts["fn"]),
        "not_scored": not_scored,
        "other_labels": other_labels,
        "without_verdict": len(labels) - len(used),
        "without_label": without_label,
    }


def ratios(tp: int, fp: int, fn: int) -> dict[str, float]:
    """Work out `precision`, `recall` and `f1` of counts: 0..1, and 0 where undefined.

    Parameters
    ----------
    tp, fp, fn : numbers of true positives, false positives and false negatives

    Examples
    --------
    >>> ratios(tp=3, fp=1, fn=0)
    {'precision': 0.75, 'recall': 1.0, 'f1': 0.8571428571428571}
    """
    flagged, fakes = tp + fp, tp + fn
    return {
        "precision": tp / flagged if flagged else 0.0,
        "recall": tp / fakes if fakes else 0.0,
        "f1": 2 * tp / (flagged + fakes) if flagged + fakes else 0.0,
    }


def _label_key(path: str, labels: Mapping[str, str]) -> str | None:
    """Find the longest end of a path, from a folder boundary on, that has a label."""
    tail = path
    while True:
        if tail in labels:
            return tail
        if "/" not in tail:
            return None
        tail = tail.split("/", 1)[1]
