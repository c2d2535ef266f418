"""An encoder and labelled data → a model with a head: sequences, choices, answer spans, sentence embeddings."""

from anaume.verbs import make_callable

make_callable(__name__)
