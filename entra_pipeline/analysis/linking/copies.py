"""Recovery points that are kept open for whoever asks about the same one next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import monotonic

from entra_pipeline.analysis.linking.point_copy import PointCopy
from entra_pipeline.runtime import QuietMoments, lower_thread_priority
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore

_POINTS = 3
# Seconds that a point is kept: the credentials of a storage may change, and nobody may look at it any more.
_AGE = 900.0
_NICE = 10
# Large tables are copied when nobody has asked anything for so many seconds; and after so many, whoever asks.
_QUIET, _PATIENCE = 3.0, 60.0


class PointCopies:
    """Recovery points that are open, those asked last.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, str], tuple[float, PointCopy]] = OrderedDict()
        self._questions = QuietMoments(_QUIET, _PATIENCE)
        self._copying = ThreadPoolExecutor(1, "copy-of-a-point", initializer=lower_thread_priority, initargs=(_NICE,))

    def of(self, store: ScopeStore, manifest: Manifest) -> PointCopy:
        """Opens a recovery point, or gives the one that is open; raises StoreError when a file cannot be read."""
        self._questions.disturb()
        key = (store.scope, manifest.recovery_point)
        with self._lock:
            now = self._clock()
            for over in [one for one, (since, _) in self._kept.items() if now - since > _AGE]:
                del self._kept[over]
            since, copy = self._kept.pop(key, (now, None))
            if copy is None:
                copy = PointCopy(store, manifest)
                if copy.large:
                    self._copying.submit(copy.copy_large, self._questions.wait)
            self._kept[key] = since, copy
            while len(self._kept) > _POINTS:
                self._kept.popitem(last=False)
        return copy
