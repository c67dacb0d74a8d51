"""How far a question of a page goes, and what the two processes say to each other."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SECONDS = 60.0
"""Seconds after which a question is given up."""
GRACE = 3.0
"""Seconds that a question still has when nobody waits for its answer: most end by then, and the process goes on."""
ADDRESS_SPACE = 6 << 30
"""Bytes of address space that a process takes at the most: text is not all counted by DuckDB."""
BYTES = 100_000_000
"""Bytes of an answer at the most."""

What = Literal[
    "page",
    "one",
    "related",
    "states",
    "differences",
    "known",
    "called",
    "report",
    "file",
    "attention",
    "people",
    "named",
    "find",
    "authors",
    "stored",
    "erasure",
]


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A question.

    Attributes:
        what: What is asked for.
        scope: The scope; empty for what is asked about all of them, or a tenant.
        arguments: Of what is asked for.
        visible: The scopes that who asks may see; None for all.
    """

    what: What
    scope: str
    arguments: dict[str, Any]
    visible: tuple[str, ...] | None = None


class ReadOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What comes back.

    Attributes:
        answer: The answer, where there is one.
        kind: Name of the class of the error, where there is none.
        message, remedy: Of the error.
    """

    answer: Any = None
    kind: str = ""
    message: str = ""
    remedy: str = ""


REQUEST_DECODER = msgspec.msgpack.Decoder(ReadRequest)
READ_OUTCOME_DECODER = msgspec.msgpack.Decoder(ReadOutcome)
