"""`anaume demo`: the whole pipeline on the built-in corpus."""
