"""An encoder from Python: texts in, embeddings, tokens and fillings of blanks out."""

from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Literal

from anaume.api.verbs import verb
from anaume.errors import UserError
from anaume.evals.task import Subject, check_pooling
from anaume.model.place import check_place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from anaume.encoder.pooling import Pooling
    from anaume.evals.fill_mask import Prediction


class TextEncoder:
    """Any Hugging Face encoder: a folder or a Hub id. `anaume.Encoder` is this class.

    The model is opened when it is first needed, in float32 and on a GPU if there is one. A ModernBERT runs on packed
    rows, without padding.

    Args:
        path_or_id: A folder, for example an export, or a Hub id.
        pooling: `"own"` pools as the folder's sentence-transformers modules say, by the mean if it has none; `"mean"`
            is the mean of all tokens.

    Raises:
        UserError: There is no such folder, and the text is no Hub id either.
    """

    def __init__(self, path_or_id: str | PathLike[str], *, pooling: Literal["own", "mean"] = "own") -> None:
        self.path_or_id = str(path_or_id)
        self._pooling_choice = pooling
        with verb(progress=False):
            check_place(self.path_or_id)
            check_pooling(pooling)
        self._network, self._with_head = (Subject(self.path_or_id, masked_lm) for masked_lm in (False, True))

    def __repr__(self) -> str:
        return f"anaume.Encoder({self.path_or_id!r})"

    @cached_property
    def _pooling(self) -> "Pooling":
        return self._network.pooling(self._pooling_choice)

    def embed(
        self,
        texts: Sequence[str],
        *,
        role: Literal["", "query", "document"] = "",
        prompt: str = "",
        batch_tokens: int = 8192,
        progress: bool = False,
    ) -> "NDArray[np.float32]":
        """Return one embedding for each text, (texts, dimensions) float32.

        Args:
            texts: Texts; what is longer than the model's input is cut.
            role: Put the folder's own prompt for queries or documents before each text.
            prompt: Put this text before each text instead.
            batch_tokens: Tokens in a batch.
            progress: Whether to show a bar on standard error.

        Raises:
            UserError: The model can't be opened, or gives NaN.
        """
        if isinstance(texts, str):
            raise UserError(f"texts: {texts!r:.40}: one text; expected a list of texts")
        with verb(progress):
            from anaume.encoder.embed import embed

            prompts = {"": "", "query": self._pooling.query, "document": self._pooling.document}
            vectors = embed(
                self._network.encoder,
                list(texts),
                pooling=self._pooling,
                prompt=prompt or prompts[role],
                batch_tokens=batch_tokens,
            )
            return vectors.numpy()

    def tokens(self, text: str) -> list[str]:
        """Return the pieces of a text as the model reads it, special tokens included.

        Raises:
            UserError: The tokenizer can't be opened.
        """
        with verb(progress=False):
            from anaume.encoder.tokenize import tokenize

            encoder = self._network.encoder
            pieces: list[str] = encoder.tokenizer.convert_ids_to_tokens(tokenize(encoder, [text]).rows[0])
            return pieces

    def fill(self, text: str, k: int = 5) -> "list[Prediction]":
        """Return the `k` most probable fillings of all blanks `[MASK]` of a text, best first.

        Each has `text` and `probability`. Each blank gets one token.

        Raises:
            UserError: The text has no blank, or the model has no head for masked tokens.
        """
        with verb(progress=False):
            from anaume.evals.fill_mask import predict

            return predict(self._with_head.encoder, text, k)
