"""Makes a healthy tenant misbehave, as settings of the control API say.

1. `settings`: every setting with what a healthy tenant has.
2. `throttle`: the limits of Graph, as token buckets per app registration and tenant; a request beyond them gets a 429.
3. `hidden`: takes objects and links out of an answer that looks whole.
4. `unseen`: what services answer about an object that has not reached them yet.
5. `misbehave`: ways in which Graph is known to misbehave, one entry each.

Faults of the connection (`reset`, `truncated` …) are chosen by `graph.tenant` and carried out by `server.web`.
"""
