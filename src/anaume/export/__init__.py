"""A run's checkpoint → a folder that `transformers` and `sentence-transformers` open."""
