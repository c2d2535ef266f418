"""Sections on long documents: one file per section."""
