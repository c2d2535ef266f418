"""A checkpoint of a run → a Hugging Face folder."""
