"""Does the long context work? A fact at a known depth of a long document, asked by retrieval and by cloze."""
