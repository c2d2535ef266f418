"""A folder or Hub id → its tokenizer in `transformers`, which does what the folder's own tokenizer.json says.

transformers 5 may open a tokenizer with another class than the one that trained the model. That class builds its own
normaliser and template, and may silently drop [SEP] or put a "▁" before the text. `open_auto_tokenizer` compares the
opened tokenizer with tokenizer.json on awkward texts and lets tokenizer.json decide.
"""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from anaume.errors import UserError
from anaume.progress import say
from anaume.remote_code import remote_code_allowed
from anaume.tokenizer import folder as folders
from anaume.tokenizer.probes import differences, probes


def open_auto_tokenizer(path_or_id: str | Path) -> Any:
    """Open a tokenizer of `transformers`, fast or slow. A model's own code never runs.

    A message on standard error says when the class that transformers chooses differs from tokenizer.json.

    Raises:
        UserError: Even the plain class of `transformers` does not do what tokenizer.json says.
        OSError, ValueError, ImportError: transformers can't open it; see `encoder.load`.
    """
    from transformers import PreTrainedTokenizerFast
    from transformers.utils.hub import cached_file

    auto = _open(path_or_id)
    file = cached_file(path_or_id, folders.TOKENIZER, _raise_exceptions_for_missing_entries=False)
    if file is None:
        return auto
    own = folders.read_tokenizer_json(Path(file).parent)
    own.no_truncation()
    own.no_padding()
    if (difference := _difference(own, auto)) is None:
        return auto
    plain = PreTrainedTokenizerFast.from_pretrained(path_or_id)
    added = {token.content: token for token in own.get_added_tokens_decoder().values()}
    for role in folders.ALL_ROLES:  # The names that the other class knows without a configuration.
        name = getattr(auto, f"{role}_token")
        if getattr(plain, f"{role}_token") is None and own.token_to_id(name or "") is not None:
            setattr(plain, f"{role}_token", added.get(name, name))
    if (remaining := _difference(own, plain)) is not None:
        raise UserError(
            f"{path_or_id}: transformers does not do what {folders.TOKENIZER} says ({remaining}); expected files of one"
            " tokenizer"
        )
    say(
        f"anaume: {path_or_id}: {type(auto).__name__} of transformers {difference}, unlike {folders.TOKENIZER}, which"
        " is used instead"
    )
    return plain


def _open(path_or_id: str | Path) -> Any:
    import transformers
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    try:
        return transformers.AutoTokenizer.from_pretrained(path_or_id, trust_remote_code=remote_code_allowed())
    except ValueError:
        # Beside a ModernBERT's config.json, AutoTokenizer opens tokenizer.json only and forgets the class that the
        # folder names, such as MeCab's.
        named = getattr(transformers, str(get_tokenizer_config(path_or_id).get("tokenizer_class")), None)
        if named is None:
            raise
        return named.from_pretrained(path_or_id)


def _difference(own: Tokenizer, auto: Any) -> str | None:
    """Say how a tokenizer of `transformers` differs from tokenizer.json, or return None."""
    text, pair = "東京 a", ("東京", "a b")
    if (ids := auto(text)["input_ids"]) != (expected := own.encode(text).ids):
        return f"reads {text!r} as {' '.join(auto.convert_ids_to_tokens(ids))}, not {_spell(own, expected)}"
    if (ids := auto(*pair)["input_ids"]) != (expected := own.encode(*pair).ids):
        return f"reads a pair as {' '.join(auto.convert_ids_to_tokens(ids))}, not {_spell(own, expected)}"
    others = differences(probes(), lambda text: own.encode(text).ids, lambda text: auto(text)["input_ids"])
    name = next(others, None)
    return name and f"reads {name} in another way"


def _spell(own: Tokenizer, ids: list[int]) -> str:
    return " ".join(own.id_to_token(i) or "" for i in ids)
