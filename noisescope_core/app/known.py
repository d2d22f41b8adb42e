"""Which fingerprints `known` looks for: those of an earlier run, or of a pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from noisescope_core.app.packs import check_fingerprint, fingerprint_rows, is_pack, read_pack
from noisescope_core.app.registry import FALSE_ALARM, Standing, meaning
from noisescope_core.config import Config
from noisescope_core.errors import UsageError
from noisescope_core.lattice.detector import is_rival
from noisescope_core.methods import method_of
from noisescope_core.tables.results import Results
from noisescope_core.tables.rows import FingerprintRow

OTHER_METHOD = "its fingerprints are of another method than {method} (key method)"
"""Why fingerprints cannot be looked for."""


@dataclass(frozen=True)
class Known:
    """Fingerprints that are looked for.

    Attributes
    ----------
    rows : all that are known; those looked for are flagged
    tested : those looked for, by the names that verdicts give them
    false_alarms : patterns known to be no generator's
    of_run : whether they are an earlier run's
    """

    rows: Sequence[FingerprintRow]
    tested: Sequence[FingerprintRow]
    false_alarms: Sequence[FingerprintRow] = ()
    of_run: bool = False


def known_fingerprints(location: str, config: Config) -> Known:
    """Read fingerprints, and check that this configuration can look for them.

    Parameters
    ----------
    location : path or URI of a run's folder, or of a pack
    config : Config

    Raises
    ------
    UsageError
        If there are none, or they are of another method or another `whitening.side`.
    """
    if is_pack(location):
        known = _of_pack(location, config)
    else:
        rows = fingerprint_rows(Results(location, {}).table("fingerprints").to_pylist())
        known = Known(rows, [row for row in rows if row.flagged or is_rival(row)], of_run=True)
    try:
        for row in known.tested:
            _check(row, config)
    except ValueError as error:
        raise UsageError(f"{location}: {error}") from error
    return known


def _of_pack(location: str, config: Config) -> Known:
    """Read a pack: what is retired in it is not looked for, what is merged has another's name."""
    if not method_of(config).scans:
        raise UsageError(f"{location}: {OTHER_METHOD.format(method=config.method)}")
    cells = read_pack(location, config.whitening.side)
    standings = {row["fingerprint_id"]: Standing(row["state"], row["merged_into"]) for row in cells}
    rows, tested, false_alarms = [], [], []
    for row in fingerprint_rows(cells):
        kind, shown_as = meaning(row.fingerprint_id, standings)
        rows.append(replace(row, flagged=kind == "active"))
        if kind == "active":
            tested.append(replace(row, fingerprint_id=shown_as))
        elif kind == FALSE_ALARM:
            false_alarms.append(row)
    return Known(rows, tested, false_alarms)


def _check(row: FingerprintRow, config: Config) -> None:
    """Raise ValueError if a fingerprint is of another method, or does not fit the configuration."""
    of_scans = row.kind == "lattice" or row.weights is not None
    if of_scans != method_of(config).scans:
        raise ValueError(OTHER_METHOD.format(method=config.method))
    if of_scans:
        check_fingerprint(vars(row), config.whitening.side)
