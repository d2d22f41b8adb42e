"""Packs: fingerprints in one Parquet file, so that others can look for them (docs/scheduled.md).

A pack is written from a run or a registry, and read by `known` and by another registry. Its columns
are `schemas.REGISTRY_FILE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import fs

from noisescope_core.app.places import absolute, check_file, is_uri, replaced
from noisescope_core.app.registry import MERGED, STATES, resolve_names
from noisescope_core.errors import UsageError, first_line
from noisescope_core.lattice.detector import unpacked_background
from noisescope_core.lattice.families import Rescaled, families, rescaled_sets
from noisescope_core.lattice.tiles import PERIOD, VALUES
from noisescope_core.methods import method_of
from noisescope_core.tables.results import Results, open_results
from noisescope_core.tables.rows import FingerprintRow
from noisescope_core.tables.schemas import REGISTRY_FILE, REGISTRY_FILE_NEEDS, arrow_schema
from noisescope_core.tables.storage import file_system, with_retries
from noisescope_core.tables.streams import with_schema
from noisescope_core.whitened.planes.bands import BANDS, PLANES, compared

FORMAT = b"noisescope.registry"
"""Metadata key of the file that names the version of its format."""

VERSION = b"1"
"""Version of the format that is written, and the only one that is read."""

BY_NAME = "packed by name; the run took it for: {maker}"
"""Note of a fingerprint that a person has packed though the run did not flag its images."""

SHOWN = ("fingerprint_id", "kind", "width", "height", "images", "maker", "state")
"""Columns by which a packed fingerprint is told."""

_FAILURES = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


def pack(
    run: Results | str | Path, out: str | Path, fingerprints: Sequence[str] = ()
) -> list[list[dict[str, Any]]]:
    """Write fingerprints of a finished run as a pack; needs no Spark.

    Parameters
    ----------
    run : a run, or its folder or URI
    out : path or URI of the file
        An earlier pack is replaced, any other file is not.
    fingerprints : ids, or beginnings that tell them
        None takes those that the run takes for generators'. Others that are named are flagged from
        then on: who names them has decided so.

    Returns
    -------
    list of list of dict
        Families, lattices' before others, the largest fingerprint first: columns `SHOWN` of each,
        and `origin` and `factor` of lattices whose images are another's, rescaled, else None.

    Raises
    ------
    UsageError
        If there is no such run or fingerprint, nothing to pack, or the file cannot be written.

    Examples
    --------
    >>> pack("run", "fingerprints.parquet")  # doctest: +SKIP
    """
    check_place(absolute(out), "--out")
    results = run if isinstance(run, Results) else open_results(absolute(run))
    config = results.config
    if not method_of(config).scans:
        raise UsageError(
            f"{results.location}: made by the method {config.method}, whose fingerprints are of no "
            "use without the run's reference images; name the run itself to noisescope known"
        )
    rows = [_packed(row) for row in _chosen(results, fingerprints)]
    for row in rows:
        try:
            check_fingerprint(row, config.whitening.side)
        except ValueError as error:
            raise UsageError(f"{results.location}: {error}; it cannot be packed") from error
    write_pack(rows, absolute(out))
    return _in_families(rows, _rescaled(results, rows))


def _rescaled(results: Results, rows: Sequence[Mapping[str, Any]]) -> dict[str, Rescaled]:
    """Say which packed lattices hold images of others, rescaled, by the verdicts of the run."""
    columns = ("image_id", "fingerprint_id", "factor")
    verdicts = results.table("verdicts", columns, ds.field("factor").is_valid()).to_pylist()
    return rescaled_sets(
        fingerprint_rows(row for row in rows if row["kind"] == "lattice"), verdicts
    )


def _chosen(results: Results, names: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = results.table("fingerprints").to_pylist()
    by_id = {row["fingerprint_id"]: row for row in rows}
    if names:
        advice = f"it has: {', '.join(sorted(by_id)) or 'none'}"
        return [by_id[name] for name in resolve_names(names, by_id, results.location, advice)]
    chosen = [row for row in rows if row["flagged"]]
    if not chosen:
        others = ", ".join(f"{name} ({row['maker']})" for name, row in sorted(by_id.items()))
        raise UsageError(
            f"{results.location}: nothing to pack, no fingerprint is taken for a generator's"
            + (f"; --fingerprint packs one all the same: {others}" if others else "")
        )
    return chosen


def _packed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Make the row of a pack; what the run did not flag, a person has confirmed."""
    state = "candidate" if row["flagged"] else "confirmed"
    note = None if row["flagged"] else BY_NAME.format(maker=row["maker"])
    return {"state": state, "merged_into": None, "note": note, **row, "flagged": True}


def _in_families(
    rows: Sequence[Mapping[str, Any]], rescaled: Mapping[str, Rescaled]
) -> list[list[dict[str, Any]]]:
    ordered = sorted(rows, key=lambda row: (-row["images"], row["fingerprint_id"]))
    shown = {row["fingerprint_id"]: {name: row[name] for name in SHOWN} for row in ordered}
    for name, row in shown.items():
        found = rescaled.get(name)
        row |= {"origin": found and found.origin, "factor": found and found.factor}
    lattices = [row for row in fingerprint_rows(ordered) if row.kind == "lattice"]
    groups = families(lattices, rescaled)
    together = {name for group in groups for name in group}
    groups += [[name] for name in shown if name not in together]
    return [[shown[name] for name in group] for group in groups]


def fingerprint_rows(rows: Iterable[Mapping[str, Any]]) -> list[FingerprintRow]:
    """Take the rows of a pack as rows of the table `fingerprints`."""
    names = FingerprintRow.__dataclass_fields__
    return [FingerprintRow(**{name: row[name] for name in names}) for row in rows]


def is_pack(location: str) -> bool:
    """Whether a path or URI is a file, as a pack is, and no folder of a run.

    Examples
    --------
    >>> is_pack("/")
    False
    """
    system, path = file_system(location)
    return bool(system.get_file_info(path).type == fs.FileType.File)


def write_pack(rows: Sequence[Mapping[str, Any]], location: str | Path) -> None:
    """Write rows of `schemas.REGISTRY_FILE` to one file, in the order of their ids.

    Parameters
    ----------
    location : path or URI; a local file is replaced once the new one is whole

    Raises
    ------
    UsageError
        As `check_place`.
    """
    check_place(str(location), "--out")
    ordered = sorted(rows, key=lambda row: str(row["fingerprint_id"]))
    table = pa.Table.from_pylist([dict(row) for row in ordered], _schema())
    if not is_uri(str(location)):
        with replaced(location, "--out") as stream:
            pq.write_table(table, stream, compression="zstd")
        return
    try:
        system, path = file_system(str(location))
        pq.write_table(table, path, filesystem=system, compression="zstd")
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{location}: cannot be written to ({first_line(error)})") from error


def check_place(location: str, option: str) -> None:
    """Check that a pack can be written there, before anything is read or computed.

    Parameters
    ----------
    location : path or URI; local folders above it are made
    option : that names it, for the error

    Raises
    ------
    UsageError
        If it cannot be written, or a file that is no pack is there.
    """
    check_file(location, option)
    try:
        system, path = file_system(location)
        kind = system.get_file_info(path).type
        other = kind == fs.FileType.File and _version(system, path) is None
    except OSError as error:
        raise UsageError(f"{option}: {location} cannot be read ({first_line(error)})") from error
    if kind == fs.FileType.Directory:
        raise UsageError(f"{option}: {location} is a folder; name a file")
    if other:
        raise UsageError(f"{option}: {location} is there already and is no pack; take another name")


def _version(system: fs.FileSystem, path: str) -> bytes | None:
    """Read the version of a pack's format; None of any other file."""
    try:
        metadata: dict[bytes, bytes] = pq.read_schema(path, filesystem=system).metadata or {}
    except pa.ArrowException:
        return None
    return metadata.get(FORMAT)


def read_pack(location: str | Path, side: int) -> list[dict[str, Any]]:
    """Read and check a pack.

    Parameters
    ----------
    location : path or URI
    side : of the centre that is compared, pixels (`whitening.side`)

    Returns
    -------
    list of dict
        Columns of `schemas.REGISTRY_FILE`; those that the version which wrote it did not know are
        None.

    Raises
    ------
    UsageError
        If it is no such file, or was made with another `whitening.side`.
    """
    try:
        system, path = file_system(str(location))
        table = with_retries(lambda: pq.read_table(path, filesystem=system))
        version = (table.schema.metadata or {}).get(FORMAT)
        if version is None:
            raise ValueError("no registry of this format")
        if version != VERSION:
            raise ValueError(f"format {version!r}")
        rows: list[dict[str, Any]] = with_schema(table, _schema()).to_pylist()
        for row in rows:
            if row["state"] not in STATES:
                raise ValueError(f"{row['fingerprint_id']}: state {row['state']!r}")
            check_fingerprint(row, side)
        _check_merged(rows)
    except _FAILURES as error:
        raise UsageError(f"{location}: no pack that can be read ({first_line(error)})") from error
    return rows


def _schema() -> pa.Schema:
    return arrow_schema(REGISTRY_FILE).with_metadata({FORMAT: VERSION})


def _check_merged(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError if an id is there twice, or merging goes round in a circle."""
    into = {row["fingerprint_id"]: row["merged_into"] for row in rows if row["state"] == MERGED}
    if len({row["fingerprint_id"] for row in rows}) < len(rows):
        raise ValueError("a fingerprint is there twice")
    for name in into:
        seen, last = {name}, into[name]
        while last in into:
            if last in seen:
                raise ValueError(f"{name}: merged in a circle")
            seen.add(last)
            last = into[last]


def check_fingerprint(row: Mapping[str, Any], side: int) -> None:
    """Raise ValueError if a row cannot be a fingerprint that images are tested against.

    Parameters
    ----------
    row : columns of `fingerprints`
    side : of the centre that is compared, pixels (`whitening.side`)
    """
    name, kind = row["fingerprint_id"], row["kind"]
    if kind not in REGISTRY_FILE_NEEDS:
        raise ValueError(f"{name}: kind {kind!r}")
    if missing := [column for column in REGISTRY_FILE_NEEDS[kind] if row[column] is None]:
        raise ValueError(f"{name}: without {', '.join(missing)}")
    bar = [row["reference_centre"], row["reference_spread"], row["threshold"]]
    if not np.isfinite(bar).all() or row["reference_spread"] <= 0:
        raise ValueError(f"{name}: has no bar")
    vectors = _lattice_vectors(row) if kind == "lattice" else _vectors(row, side)
    for column, (vector, length) in vectors.items():
        if len(vector) != length or not np.isfinite(vector).all():
            raise ValueError(
                f"{name}: {column} are no {length:,} numbers of {row['width']} x {row['height']}; "
                "is whitening.side as it was?"
            )


def _vectors(row: Mapping[str, Any], side: int) -> dict[str, tuple[NDArray[Any], int]]:
    """Vectors of a fingerprint in place, and how many numbers each must have."""
    values = len(PLANES) * compared(row["height"], row["width"], side).values
    return {
        "pixels": (np.frombuffer(row["pixels"], np.float32), row["width"] * row["height"]),
        "whitened": (np.frombuffer(row["whitened"], np.float32), values),
        "weights": (np.array(row["weights"], np.float64), len(BANDS)),
        "centres": (np.array(row["centres"], np.float64), len(BANDS)),
    }


def _lattice_vectors(row: Mapping[str, Any]) -> dict[str, tuple[NDArray[Any], int]]:
    """Vectors of a lattice, and how many numbers each must have."""
    try:
        background = unpacked_background(row["background"])
    except (ValueError, IndexError) as error:
        raise ValueError(f"{row['fingerprint_id']}: background is none") from error
    rank = len(background.gains)
    if not (np.append(background.gains, background.rest) > 0).all():
        raise ValueError(f"{row['fingerprint_id']}: background has no gains")
    return {
        "pixels": (np.frombuffer(row["pixels"], np.float32), PERIOD * PERIOD),
        "whitened": (np.frombuffer(row["whitened"], np.float32), VALUES),
        "background": (background.directions.ravel(), rank * VALUES),
    }
