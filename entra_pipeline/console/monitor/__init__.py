"""Jobs as an administrator sees them: Dagster's runs with the outcomes that the stores' job records tell.

Dagster knows whether a run came to its end, and has words of its own for that. The record of the job knows whether
everything is in it. Pages show neither alone.
"""
