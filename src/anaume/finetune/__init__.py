"""An encoder and labelled data → a model with a head: sequences, choices, answer spans, sentence embeddings."""

from anaume.verbs import make_callable

# The command that writes fine-tuned models.
COMMAND = "finetune"

make_callable(__name__)
