"""What the configuration's settings are made of, below everything that has settings.

`section` is a table that refuses unknown keys and knows its file and key, so that an error can name them; `secrets`
says where a secret is, never what it is; `periods` are lengths of time; `fields` are addresses, names and paths.
Storage kinds (`store.backends`) and channels (`channels`) declare their settings with these; `project` puts all of it
together.
"""
