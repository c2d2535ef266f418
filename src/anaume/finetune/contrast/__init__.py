"""Supervised contrastive fine-tuning of sentence embeddings, of one vector a text or of one a token."""

# The command that writes sentence encoders.
COMMAND = "contrast"
