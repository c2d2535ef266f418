"""Retrieval: queries, documents and graded judgements → how well an encoder, or a lexical baseline, finds them."""
