"""PackedBatch → loss, and the model's way to and from a Hugging Face folder."""
