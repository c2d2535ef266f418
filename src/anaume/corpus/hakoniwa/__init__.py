"""箱庭, the built-in corpus: encyclopaedia-like Japanese generated with a seed from tables of real facts.

`facts/*.tsv` are the tables and `patterns/*.toml` the sentences that state the facts; `patterns/README.md` explains
both. Held-out patterns never occur in a training document; `tasks/` makes the evaluation files from them.
"""

from anaume.corpus.hakoniwa.deck import Split
from anaume.corpus.hakoniwa.stream import document, documents, write_corpus
from anaume.corpus.hakoniwa.tasks.write import write_tasks

__all__ = ["Split", "document", "documents", "write_corpus", "write_tasks"]
