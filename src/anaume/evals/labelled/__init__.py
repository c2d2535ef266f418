"""Labelled data of the user's own → a fine-tuned model in a folder."""
