"""The same op over any amount of data: steps, merges, engines."""
