"""Text ↔ token ids: train a vocabulary, adapt a decoder's for an encoder, open a tokenizer folder or a Hub id."""
