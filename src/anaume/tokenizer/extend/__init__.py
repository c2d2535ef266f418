"""New words for a tokenizer: text of a domain → sequences of ids → new pieces → the extended tokenizer folder."""
