"""The figures of a study: each a function from what was read to a matplotlib figure."""
