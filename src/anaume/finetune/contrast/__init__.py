"""Supervised contrastive fine-tuning of sentence embeddings, of one vector a text or of one a token."""
