"""Posts and comments from Reddit's API, dumps and archives, as one kind of record."""
