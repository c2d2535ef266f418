"""The tokens of a new run are read whole beside the first steps, because a changed byte trains other weights."""

import threading

from anaume.errors import UserError
from anaume.pretrain.prepare import RunData
from anaume.run import Run, tell_tokens_verified, tokens_are_verified
from anaume.tokens import store


class TokenCheck:
    """Verifies the training tokens of a run in a thread, unless that was done before; the manifest says so then.

    A trillion tokens take most of an hour to read. The thread ends with the process.
    """

    def __init__(self, run: Run, data: RunData) -> None:
        self._run = run
        self._stores = [opened for opened in data.stores["train"] if isinstance(opened, store.Store)]
        self._problems: list[str] = []
        self._thread = threading.Thread(target=self._verify, name="tokens", daemon=True)
        if self._stores and not tokens_are_verified(run):
            self._thread.start()

    def _verify(self) -> None:
        for opened in self._stores:
            self._problems += store.verify(opened.folder, opened.vocabulary_hash)
        if not self._problems:
            tell_tokens_verified(self._run)

    def raise_problem(self, wait: bool) -> None:
        """Raise an error if a file has changed since it was written; `wait` for the end of the check first.

        A process that was told to stop does not wait: it has seconds to save, and its successor checks again.

        Raises:
            UserError: names the file.
        """
        if wait and self._thread.ident is not None:
            self._thread.join()
        if self._problems:
            raise UserError(f"{self._problems[0]}; the checkpoint was not written; expected the tokens as they were")
