"""A tokenizer and its extension → the old pieces into which each new piece would have been cut."""

from tokenizers import Tokenizer as Fast

from anaume.errors import UserError
from anaume.tokenizer import folder as folders
from anaume.tokenizer.load import Tokenizer


def parts_of_new_pieces(old: Tokenizer, extended: Tokenizer, place: str) -> list[list[int]]:
    """Return, for each id that `extended` adds, the ids into which `old` cuts its piece; [] for equal tokenizers.

    Raises:
        UserError: the pieces of `old` are not the first ones of `extended`. The line begins with `place`.
    """
    pairs = zip(old.pieces, extended.pieces, strict=False)
    different = next((index for index, (before, after) in enumerate(pairs) if before != after), None)
    if different is not None:
        raise UserError(
            f"{place}: its piece {different} is {extended.pieces[different]!r}, and that of the checkpoint's tokenizer"
            f" {old.pieces[different]!r}; expected the checkpoint's tokenizer, or one that `anaume tokenizer extend`"
            " made from it"
        )
    new = extended.pieces[old.vocab_size :]
    if len(extended.pieces) < len(old.pieces):
        raise UserError(
            f"{place}: {len(extended.pieces)} pieces, fewer than the {len(old.pieces)} of the checkpoint's tokenizer;"
            " expected that one, or one that `anaume tokenizer extend` made from it"
        )
    if not new:
        return []
    model = _fast(old).model
    return [[token.id for token in model.tokenize(piece)] for piece in new]


def _fast(tokenizer: Tokenizer) -> Fast:
    """The tokenizer in `tokenizers`; a folder without tokenizer.json is opened by transformers."""
    if (tokenizer.folder / folders.TOKENIZER).exists():
        return folders.read_tokenizer_json(tokenizer.folder)
    from anaume.tokenizer.auto import open_auto_tokenizer

    return Fast.from_str(open_auto_tokenizer(tokenizer.folder).backend_tokenizer.to_str())
