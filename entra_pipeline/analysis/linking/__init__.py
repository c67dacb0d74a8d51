"""What the objects of a recovery point have to do with each other: their links, and whom the ids in them name."""
