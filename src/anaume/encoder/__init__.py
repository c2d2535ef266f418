"""Any Hugging Face encoder: open it, tokenize texts, get hidden states, embeddings or logits."""
