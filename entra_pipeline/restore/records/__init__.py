"""What a restore keeps, in the store under `_restore/` and on the operator's machine.

- `plans`: plans, sealed with a checksum, in the store or in a file; `plan_rows`: their steps as rows for people.
- `approval`: who made a plan and who approved it.
- `journal`: append-only record of what was about to be sent, what has come into being, and what is done.
- `report`: the outcome of every step.
- `id_map`: ids that objects have received in place of their old ones, followed across restores.
- `jobs`: the job record of a restore.
- `passwords`: first passwords of users that were created.
"""
