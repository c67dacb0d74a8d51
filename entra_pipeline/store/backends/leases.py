"""A lock where there are only objects: a lease that has to be renewed.

The lease is a row of objects `<key>/<generation>.json`; the one with the highest generation says who holds it. To take
it is to create the next generation, which only one can do; so nobody needs to overwrite or delete what another may have
renewed a moment ago. Where nothing can be deleted, old generations stay. A released lease stays as the highest
generation and says so: were it deleted, the count would start again, and somebody who had looked earlier could create a
generation beside a new holder's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from entra_pipeline.clock import Clock, iso, parse_iso
from entra_pipeline.errors import AlreadyExists, EntraPipelineError, NotInStore, ScopeBusy
from entra_pipeline.store.backends.locks import Holder

if TYPE_CHECKING:
    from entra_pipeline.store.backends.object_store import ObjectStore

# A holder that cannot renew for a minute and a half is taken for dead. Clocks of machines that share a bucket must not
# differ by more.
LIFETIME = timedelta(seconds=90)
_RENEWAL_SECONDS = 20.0

_log = logging.getLogger(__name__)


class _Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation says. `token` makes every holder's bytes differ, so that a holder knows its own."""

    holder: Holder
    token: str
    expires: str
    released: bool = False


_LEASE_DECODER = msgspec.json.Decoder(_Lease)


class Lease:
    """A lease that is held; see `lease`."""

    def __init__(self, files: ObjectStore, key: str, what: str, clock: Clock, generation: int, mine: _Lease) -> None:
        self._files = files
        self._key = key
        self._what = what
        self._clock = clock
        self._generation = generation
        self._mine = mine
        self._lost: EntraPipelineError | None = None
        self._turn = threading.Lock()

    def confirm(self) -> None:
        """Renews the lease; raises ScopeBusy when it expired or somebody else has it, and from then on always."""
        with self._turn:
            if self._lost is None and self._clock() >= parse_iso(self._mine.expires):
                self._lost = ScopeBusy(
                    f"the lock of {self._what} could not be renewed in time and expired",
                    remedy="Run the backup again.",
                )
            if self._lost is None and (top := _top(self._files, self._key)) and top[0] > self._generation:
                self._lost = top[1].holder.busy(self._what)
            if self._lost is not None:
                raise self._lost
            self._write(msgspec.structs.replace(self._mine, expires=_expiry(self._clock())))

    def release(self) -> None:
        """Gives the lease back, unless it was lost."""
        with self._turn:
            if self._lost is None:
                self._write(msgspec.structs.replace(self._mine, released=True))

    def _write(self, lease: _Lease) -> None:
        self._files.replace(_generation_key(self._key, self._generation), msgspec.json.encode(lease))
        self._mine = lease


@contextmanager
def lease(files: ObjectStore, key: str, what: str, clock: Clock) -> Iterator[Lease]:
    """Takes the lease, renews it in a thread, and gives it back; arguments and errors as for `ObjectStore.lock`."""
    held = _take(files, key, what, clock)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_RENEWAL_SECONDS):
            try:
                held.confirm()
            except ScopeBusy as error:
                _log.warning("%s", error.message)
                return
            except EntraPipelineError as error:
                # The storage may be back before the lease expires.
                _log.warning("the lock of %s could not be renewed yet: %s", what, error.message)

    thread = threading.Thread(target=renew, name=f"renews the lock of {what}", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        thread.join()
        try:
            held.release()
        except EntraPipelineError as error:
            # What was done under the lease stands; it expires by itself.
            _log.warning("the lock of %s could not be released and will expire: %s", what, error.message)


def _take(files: ObjectStore, key: str, what: str, clock: Clock) -> Lease:
    top = _top(files, key)
    generation = 0
    if top is not None:
        generation, present = top
        if not (present.released or clock() >= parse_iso(present.expires) or present.holder.is_dead()):
            raise present.holder.busy(what)
    now = clock()
    mine = _Lease(holder=Holder.here(iso(now)), token=uuid4().hex, expires=_expiry(now))
    try:
        files.create(_generation_key(key, generation + 1), msgspec.json.encode(mine))
    except AlreadyExists:
        winner = _top(files, key)
        raise (winner[1].holder if winner else mine.holder).busy(what) from None
    old = [file.key for file in files.list(f"{key}/") if file.key < _generation_key(key, generation + 1)]
    files.clear(old)
    return Lease(files, key, what, clock, generation + 1, mine)


def _top(files: ObjectStore, key: str) -> tuple[int, _Lease] | None:
    """Returns the highest generation and what it says."""
    while keys := [file.key for file in files.list(f"{key}/")]:
        try:
            data = files.read(keys[-1])
        except NotInStore:
            # Somebody took the next generation and cleaned up in between.
            continue
        return int(keys[-1].rpartition("/")[2].removesuffix(".json")), _LEASE_DECODER.decode(data)
    return None


def _generation_key(key: str, generation: int) -> str:
    return f"{key}/{generation:012d}.json"


def _expiry(now: datetime) -> str:
    return iso(now + LIFETIME)
