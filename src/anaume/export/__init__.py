"""A checkpoint of a run → a Hugging Face folder."""

from anaume.verbs import make_callable

make_callable(__name__)
