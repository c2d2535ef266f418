"""Sections on what a run was made of: its data, the documents and what was read of them, its recipe, its machine."""
