"""The vocabulary of a restore: no file here reads the store or asks Graph.

- `model`: the structure of plans, steps, refusals and outcomes, as they are stored.
- `selection`: which objects and tables a selection covers.
- `normalize`: the properties of an object that a restore compares and sends, in one form.
- `references`: ids inside property values: find them, replace them.
- `paths`: the Graph address of an object or a collection.
- `written`: whether a value that was written is in the tenant.
"""
