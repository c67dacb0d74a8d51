"""How things look in pages: icons, moments, small pictures, and what each person prefers.

What belongs here: markup that several pages share and templates cannot make. What does not: what pages show (`pages`),
and how values become text (`rendering`).
"""
