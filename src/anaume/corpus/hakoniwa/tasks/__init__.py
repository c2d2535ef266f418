"""The evaluation files of the built-in corpus: cloze questions, retrieval pairs and miniature JGLUE tasks."""
