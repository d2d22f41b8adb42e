"""One writer at a time: a lease on the tables, renewed while its holder lives.

The lease is a row of a Delta table, taken by an update that holds only if nobody has taken it since
it was read; of two that try at once Delta lets one through. Whoever holds it also stands in a
property of that table, with the time until which it holds: to write or read that takes no Spark
job, so that it waits for none. A holder that died on this machine is known to be dead, one that
died elsewhere keeps the lease until it ends; who takes it over then changes a property of every
table, so that Delta refuses whatever the former holder had under way.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from noisescope_core.errors import NoiseScopeError
from noisescope_core.spark.scans.store import Store, is_conflict
from noisescope_core.spark.tables.frames import frame
from noisescope_core.tables.rows import LeaseRow
from noisescope_core.tables.schemas import LONG_LIVED

NOBODY = ""
"""Owner of a lease that is free."""

HOLDER = "noisescope.holder"
"""Property of the table `lease`: who holds it, and until when."""

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When a free lease ended: any time before the first scan."""

_RENEWALS = 3
"""Times that a lease is renewed before it would end; chosen: it outlives two that fail."""


class LeaseError(NoiseScopeError):
    """Another holds the tables."""


@contextmanager
def leased(store: Store, minutes: float) -> Iterator[Store]:
    """Hold the tables for one scan, import, erasure or maintenance.

    Parameters
    ----------
    minutes : after which a lease that nobody renews may be taken over

    Yields
    ------
    Store
        The tables, whose every write asks first whether the lease is held still.

    Raises
    ------
    LeaseError
        If another holds the tables.
    NoiseScopeError
        From writes of the tables, if another has taken them over meanwhile.
    """
    me = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
    _take(store, me, minutes)

    def check() -> None:
        if _noted(store)[0] != me:
            raise NoiseScopeError(f"{store.location}: another took over; run this one again")

    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(60 * minutes / _RENEWALS):
            # Missed once, it is done the next time.
            with suppress(Exception):
                check()
                _note(store, me, _in(minutes))

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield store.checked(check)
    finally:
        ended.set()
        renewing.join()
        with suppress(Exception):
            _set(store, me, NOBODY, _LONG_AGO)


def _take(store: Store, me: str, minutes: float) -> None:
    owner = NOBODY
    # Mostly it is free, and to ask who holds it would take as many Spark jobs again.
    if not _is_set(store, NOBODY, me, minutes):
        owner, until = _holder(store)
        if owner != NOBODY and until > datetime.now(UTC) and not _is_dead(owner):
            raise LeaseError(
                f"{store.location}: another scan holds these tables ({owner}); wait for its end, "
                f"or until {until:%Y-%m-%d %H:%M} UTC if it died"
            )
        if not _is_set(store, owner, me, minutes):
            raise LeaseError(f"{store.location}: another scan was started just now")
    _note(store, me, _in(minutes))
    if owner != NOBODY:
        store.fence(me)


def _is_set(store: Store, held_by: str, me: str, minutes: float) -> bool:
    """Take the lease if it is still held so: whether it was, and no other was quicker."""
    try:
        return _set(store, held_by, me, _in(minutes))
    except NoiseScopeError as error:
        if not is_conflict(error):
            raise
        return False


def _holder(store: Store) -> tuple[str, datetime]:
    rows = store.read("lease").collect()
    if not rows:
        free = LeaseRow("scan", NOBODY, _LONG_AGO)
        store.merge("lease", frame(store.spark, [free], LONG_LIVED["lease"]))
        return NOBODY, _LONG_AGO
    # Spark gives the time of this process's zone, whatever that of the session.
    owner, until = rows[0].owner, rows[0].until.astimezone(UTC)
    noted, renewed = _noted(store)
    return owner, max(until, renewed) if noted == owner else until


def _set(store: Store, held_by: str, owner: str, until: datetime) -> bool:
    """Write the lease if it is still held so: whether it was."""
    return bool(
        store.change(
            "lease",
            f"owner = '{_quoted(owner)}', until = timestamp'{until:%Y-%m-%d %H:%M:%S}Z'",
            f"owner = '{_quoted(held_by)}'",
        )
    )


def _note(store: Store, owner: str, until: datetime) -> None:
    store.note("lease", HOLDER, f"{owner} {until.isoformat()}")


def _noted(store: Store) -> tuple[str, datetime]:
    owner, _, until = store.noted("lease", HOLDER).partition(" ")
    return owner, datetime.fromisoformat(until) if until else _LONG_AGO


def _quoted(owner: str) -> str:
    return owner.replace("\\", "").replace("'", "")


def _in(minutes: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes)


def _is_dead(owner: str) -> bool:
    host, process, *_ = [*owner.split(":"), ""]
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False
