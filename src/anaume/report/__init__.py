"""Run directories and evaluation records → the page, its tables and its print figures, without torch."""

from anaume.verbs import make_callable

make_callable(__name__)
