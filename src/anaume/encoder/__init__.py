"""Any Hugging Face encoder through one door: open it, tokenize texts, get hidden states, embeddings or logits."""
