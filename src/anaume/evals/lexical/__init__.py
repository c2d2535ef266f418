"""Similarity of texts without a model: edit distance, Jaccard and BM25, the baselines of retrieval."""
