"""An encoder and labelled data → a model with a head: sequences, choices, answer spans, sentence embeddings."""
