"""The language of Graph, without a tenant: what a request says, before anything is looked up.

1. `requests`: a request and an answer, whether they travel alone or in a batch.
2. `paths`: a path becomes a place: set, key, relation, property, action.
3. `odata`: `$select`, `$expand` and `$filter`; a filter becomes SQL.
4. `tokens`: access tokens, and the sealed contents of `$skiptoken` and `$deltatoken`.
5. `failures`: refusals, with Graph's codes and wording.
"""
