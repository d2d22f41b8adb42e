"""One scan at a time: a lease on the tables, renewed while the scan lives.

The lease is a row of a Delta table, taken by an update that holds only if nobody has taken it since
it was read; of two that try at once Delta lets one through. A scan that died on this machine is
known to be dead, one that died elsewhere keeps the lease until it ends.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from noisescope_core.errors import NoiseScopeError
from noisescope_core.spark.scans.store import Store, is_conflict
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import LeaseRow
from noisescope_core.tables.schemas import LONG_LIVED

NOBODY = ""
"""Owner of a lease that is free."""

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When a free lease ended: any time before the first scan."""

_RENEWALS = 3
"""Times that a lease is renewed before it would end; chosen: it outlives two that fail."""

_HELD = "held_by string, held_until timestamp"
"""Columns beside those of a new lease: who must hold the old one, and until when (null: any)."""


@contextmanager
def leased(store: Store, minutes: float) -> Iterator[Callable[[], None]]:
    """Hold the tables for one scan.

    Parameters
    ----------
    minutes : after which a lease that nobody renews may be taken over

    Yields
    ------
    callable
        Raises NoiseScopeError if the lease was lost, which a scan asks before it commits.

    Raises
    ------
    NoiseScopeError
        If another scan holds the tables.
    """
    me = f"{socket.gethostname()}:{os.getpid()}"
    _take(store, me, minutes)

    def check() -> None:
        if _holder(store)[0] != me:
            raise NoiseScopeError(f"{store.location}: another scan took over; run this one again")

    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(60 * minutes / _RENEWALS):
            # Missed once, it is done the next time.
            with suppress(Exception):
                _set(store, me, _in(minutes), me)

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield check
    finally:
        ended.set()
        renewing.join()
        with suppress(Exception):
            _set(store, NOBODY, _LONG_AGO, me)


def _take(store: Store, me: str, minutes: float) -> None:
    owner, until = _holder(store)
    if owner not in (NOBODY, me) and until > _now() and not _is_dead(owner):
        raise NoiseScopeError(
            f"{store.location}: another scan holds these tables ({owner}); wait for its end, or "
            f"until {until:%Y-%m-%d %H:%M} UTC if it died"
        )
    try:
        _set(store, me, _in(minutes), owner, until)
    except NoiseScopeError as error:
        if not is_conflict(error):
            raise
    if _holder(store)[0] != me:
        raise NoiseScopeError(f"{store.location}: another scan was started just now")


def _holder(store: Store) -> tuple[str, datetime]:
    rows = store.read("lease").collect()
    if not rows:
        free = LeaseRow("scan", NOBODY, _LONG_AGO)
        store.merge("lease", frame(store.spark, [free], LONG_LIVED["lease"]))
        return NOBODY, _LONG_AGO
    # Spark gives the time of this process's zone, whatever that of the session.
    return rows[0].owner, rows[0].until.astimezone(UTC)


def _set(
    store: Store, owner: str, until: datetime, held_by: str, held_until: datetime | None = None
) -> None:
    """Write the lease if it is still held so."""
    lease = vars(LeaseRow("scan", owner, until)) | {"held_by": held_by, "held_until": held_until}
    store.update(
        "lease",
        frame(store.spark, [lease], f"{LONG_LIVED['lease']}, {_HELD}"),
        {"owner": "new.owner", "until": "new.until"},
        "old.owner = new.held_by AND old.until = coalesce(new.held_until, old.until)",
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _in(minutes: float) -> datetime:
    return _now() + timedelta(minutes=minutes)


def _is_dead(owner: str) -> bool:
    host, _, process = owner.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False
