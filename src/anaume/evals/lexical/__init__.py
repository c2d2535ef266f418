"""Similarity of texts without a model: edit distance, Jaccard index and BM25, the baselines of retrieval."""
