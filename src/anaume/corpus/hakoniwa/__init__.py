"""箱庭, the built-in corpus: encyclopaedia-like Japanese generated with a seed from tables of real facts.

`facts/*.tsv` are the tables, `patterns/*.toml` the sentences that tell them (`patterns/README.md` explains both).
Patterns marked as held out never occur in a training document; the tasks are made of them.
"""

from anaume.corpus.hakoniwa.deck import Split
from anaume.corpus.hakoniwa.stream import document, documents, write_corpus
from anaume.corpus.hakoniwa.tasks import write_tasks

__all__ = ["Split", "document", "documents", "write_corpus", "write_tasks"]
