"""Notifications: which profile is notified of which event, and that each message is sent once.

1. Whatever ends a job, or finds an unusual change, leaves an event in the store (`store/events.py`).
2. `dispatch` takes a lock of the store, so that one process at a time sends.
3. For each event and each profile that asks for it, every channel of the profile gets a notice in the outbox
   (`outbox`), with the moment when it is due: now, or the time of the profile's digest. The event is removed.
4. A notice that is due becomes a message (`messages`) and goes through its channel (`entra_pipeline.channels`).
5. What was sent is recorded before the lock is released. What could not be sent is tried again after a pause that
   doubles, and given up after seven days.

Killed between the server's answer and the record, a process leaves a message that is sent again, under the same
Message-ID. `listing` and `testing` serve the command and the console; docs/notifications.md is for people.
"""

from entra_pipeline.channels import Undelivered
from entra_pipeline.notifications.dispatch import Dispatched, dispatch, places
from entra_pipeline.notifications.listing import profile_rows
from entra_pipeline.notifications.outbox import Event
from entra_pipeline.notifications.testing import send_test

__all__ = ["Dispatched", "Event", "Undelivered", "dispatch", "places", "profile_rows", "send_test"]
