"""Evaluations: an encoder and data → one JSON record for each task."""
