"""Notifications: who is told of what, by mail and by webhook, each thing once.

`dispatch` tells what waits in a place; `profiles` and `test` serve the command. What an event is, is said in
`store/events.py`; docs/notifications.md is for people.
"""

from entra_pipeline.channels import Undelivered
from entra_pipeline.notifications.dispatch import Dispatched, dispatch, places
from entra_pipeline.notifications.listing import profile_rows
from entra_pipeline.notifications.outbox import Event
from entra_pipeline.notifications.testing import send_test

__all__ = ["Dispatched", "Event", "Undelivered", "dispatch", "places", "profile_rows", "send_test"]
