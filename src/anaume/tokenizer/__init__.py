"""Text ↔ token ids: train a tokenizer, adapt a decoder's to an encoder, open a tokenizer folder or a Hub id."""
