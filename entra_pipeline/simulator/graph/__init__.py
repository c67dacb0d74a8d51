"""Answers requests as Microsoft Graph does.

`tenant.SimulatedGraph.answer` takes a request through these steps, in Graph's order; each may end it with a failure:

1. The path is resolved to a place, and the access token to a caller.
2. The control API's refusals, the caller's permissions, the tenant's licences, throttling.
3. A read goes to `logs`, `delta` or `reading`; with a lag, on an older state of the storage.
4. A write goes to `writing`, unless another write on the same object is under way. The audit log takes it down.
5. `projection` turns stored JSON into what the response shows; `derived` makes objects that are views of others.
6. The answer is counted, and what the faults hide is left out.

`batch` sends up to twenty requests through the same steps.
"""
