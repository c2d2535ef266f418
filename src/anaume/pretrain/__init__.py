"""A recipe → checkpoints and metrics: the training loop and everything it writes."""
