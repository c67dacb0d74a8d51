"""How long tests wait for what fails: not at all, and not for long."""

import httpx

from entra_pipeline.graph.retry import RetryPolicy

IMPATIENT = RetryPolicy(
    timeout=2.0,
    bad_response_timeout=0.3,
    unreachable_timeout=0.3,
    # However slow the machine, what fails now and then has its attempts.
    least_attempts=10,
    first_pause=0.01,
    longest_pause=0.02,
)
"""Retries come at once, and end soon: for tests about what comes of it."""

FRESH = httpx.Limits(keepalive_expiry=1.0)
"""No connection is used that has been idle for long: uvicorn ends it after 5 s, and what is sent just then is lost."""
