"""A recipe → checkpoints and metrics: the training loop and everything it writes."""

from anaume.verbs import make_callable

make_callable(__name__)
