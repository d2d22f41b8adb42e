"""Verdicts held against labels: confusion counts, precision, recall, F1."""

from __future__ import annotations

import codecs
import csv
import posixpath
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pyarrow import fs

from noisescope_core.errors import UsageError, first_line
from noisescope_core.tables.schemas import arrow_schema
from noisescope_core.tables.storage import file_system, is_delta
from noisescope_core.tables.streams import Batches, file_streams

FAKE = {
    "fake", "generated", "gan", "synthetic", "ai", "ai-generated", "1", "1.0", "true", "yes",
}  # fmt: skip
"""Labels of generated images, lower case."""

REAL = {
    "real", "photo", "photograph", "camera", "nature", "authentic", "0", "0.0", "false", "no",
}  # fmt: skip
"""Labels of photographs, lower case."""

PATH_COLUMNS = ("path", "file", "filename", "name", "image", "id")
"""Headers of the column of paths; the first that a file has counts."""

LABEL_COLUMNS = ("label", "is_fake", "fake", "class", "target")
"""Headers of the column of labels; the first that a file has counts."""


EXAMPLES = 3
"""Labels without a verdict that are named: chosen, enough to see what is wrong with them."""


def read_labels(file: Path) -> dict[str, str]:
    """Read a CSV file of labels, cells parted by comma, semicolon or tab.

    Its header names a path column (`path`, `file`, `filename`, `name`, `image` or `id`) and a label
    column (`label`, `is_fake`, `fake`, `class` or `target`); further columns are ignored, and so
    are rows without a path.

    Returns
    -------
    dict
        Path as written to label, in lower case and without blanks around it.

    Raises
    ------
    UsageError
        Naming the file and what is wrong with it, such as two labels of one path.
    """
    labels: dict[str, str] = {}
    of_file: dict[str, str] = {}
    contradictions = []
    try:
        with file.open(encoding=_encoding(file), newline="") as stream:
            header = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=max(",;\t", key=header.count))
            columns = {name.strip().lower(): name for name in reader.fieldnames or ()}
            path = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
            label = next((columns[name] for name in LABEL_COLUMNS if name in columns), None)
            if path is not None and label is not None:
                for row in reader:
                    written, said = (row[path] or "").strip(), (row[label] or "").strip().lower()
                    if not written:
                        continue
                    labels[written] = said
                    before = of_file.setdefault(_normal(written), said)
                    if before != said:
                        contradictions.append(
                            f"{written}, {said!r} in line {reader.line_num} and {before!r} before"
                        )
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: is neither UTF-8 nor UTF-16; save it as UTF-8") from error
    except (OSError, UnicodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read as CSV ({error})") from error
    if not labels:
        raise UsageError(f"{file}: needs a header with the columns path and label, and rows")
    if contradictions:
        raise UsageError(
            f"{file}: {len(contradictions):,} rows contradict an earlier one, such as "
            f"{contradictions[0]}; keep one, or write more of the path if they are two files"
        )
    return labels


def _encoding(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def read_verdicts(location: str) -> Iterator[dict[str, Any]]:
    """Read `path`, `status` and `is_fake` of verdicts, batch by batch.

    Parameters
    ----------
    location : path or URI of a run, or of its table `verdicts`

    Raises
    ------
    UsageError
        If there are no verdicts.
    """
    schema = arrow_schema("path string, status string, is_fake boolean")
    try:
        folder = location.rstrip("/")
        if _is_folder(f"{folder}/verdicts"):
            folder += "/verdicts"
        if is_delta(folder):
            raise UsageError(
                f"{folder} is a Delta table, whose files hold earlier verdicts too; "
                "have Spark write the rows to Parquet and name that"
            )
        streams = file_streams(folder, schema, whole=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{location} holds no verdicts ({first_line(error)})") from error
    return rows_of(streams)


def _is_folder(location: str) -> bool:
    system, path = file_system(location)
    return bool(system.get_file_info(path).type == fs.FileType.Directory)


def rows_of(streams: Iterable[Batches]) -> Iterator[dict[str, Any]]:
    """Give the rows of a table's files."""
    return (row for stream in streams for batch in stream for row in batch.to_pylist())


def evaluate(verdicts: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> dict[str, Any]:
    """Compare verdicts with labels; a fake image is a positive.

    A label's path may be the verdict's whole path or key, or the end of it from a folder boundary
    on; the longest counts. Labels are also taken with `\\` for `/`, with `./` and `../`, as `file:`
    URIs, and with letters composed otherwise (Unicode's NFD).

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
        `without_verdict`: labels that belong to no verdict, and `such_as` the first of them.
        `without_label`: verdicts without one.

    Raises
    ------
    UsageError
        If a label belongs to two verdicts, none belongs to any, or all say neither.

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
    spelt = {_normal(name): name for name in labels} | {name: name for name in labels}
    path_of: dict[str, str] = {}
    ambiguous: dict[str, str] = {}
    path = None
    for row in verdicts:
        path = row["path"]
        key = _label_key(path, spelt)
        if key is None:
            without_label += 1
            continue
        if key in path_of:
            ambiguous.setdefault(key, path)
        path_of[key] = path
        label = labels[key]
        if label not in FAKE | REAL:
            other_labels += 1
        elif row["status"] != "scored":
            not_scored["fake" if label in FAKE else "real"] += 1
        elif label in FAKE:
            counts["tp" if row["is_fake"] else "fn"] += 1
        else:
            counts["fp" if row["is_fake"] else "tn"] += 1
    without_verdict = [name for name in labels if name not in path_of]
    if ambiguous:
        key, second = next(iter(ambiguous.items()))
        raise UsageError(
            f"{len(ambiguous):,} labels belong to several files each, such as {key} to "
            f"{second} and {path_of[key] if path_of[key] != second else 'others'}; "
            "write more of their paths, from a folder on that tells the files apart"
        )
    if labels and not path_of:
        raise UsageError(
            f"none of {len(labels):,} labels is the path of a verdict or the end of one: labels "
            f"are such as {without_verdict[0]}, verdicts such as {path}"
        )
    if other_labels == len(path_of) and labels:
        raise UsageError(
            f"no label says fake or real, they say such as {next(iter(labels.values()))!r}; "
            f"known are {', '.join(sorted(FAKE))} and {', '.join(sorted(REAL))}"
        )
    return {
        **counts,
        **ratios(counts["tp"], counts["fp"], counts["fn"]),
        "not_scored": not_scored,
        "other_labels": other_labels,
        "without_verdict": len(without_verdict),
        "such_as": without_verdict[:EXAMPLES],
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


def _normal(name: str) -> str:
    """Write a label's path as verdicts would, whoever wrote it.

    Examples
    --------
    >>> _normal("../images/./fake\\\\1.png"), _normal("file:///a%20b/1.png")
    ('images/fake/1.png', '/a b/1.png')
    """
    if name.startswith("file:"):
        name = "/" + unquote(name.removeprefix("file:")).lstrip("/")
    scheme, separator, path = _composed(name).rpartition("://")
    path = posixpath.normpath(path.replace("\\", "/"))
    while path.startswith("../"):
        path = path.removeprefix("../")
    return f"{scheme}{separator}{path}"


def _composed(name: str) -> str:
    """Compose letters and their accents; s3:// is s3a://."""
    name = unicodedata.normalize("NFC", name)
    return f"s3a://{name.removeprefix('s3://')}" if name.startswith("s3://") else name


def _label_key(path: str, spelt: Mapping[str, str]) -> str | None:
    """Find the label of a path, or of its longest end from a folder boundary on.

    Parameters
    ----------
    spelt : spelling of a label's path to the path as written
    """
    tail = path if path in spelt else _composed(path)
    while tail not in spelt:
        if "/" not in tail:
            return None
        tail = tail.split("/", 1)[1]
    return spelt[tail]
