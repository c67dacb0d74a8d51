"""Changes the tenant, reads the truth about it, and sets how it behaves, over HTTP.

`panel.ControlPanel` takes `POST /_control/<order>` inside the server and hands the order to `changes`, `truth` or
`settings`. An order runs in one transaction; `knobs` alone does not, because a lag opens a second connection.
`client.Control` sends orders, one method each. What Graph would refuse, the panel does: it is for tests and
demonstrations, and answers to the machine that it runs on only.
"""
