"""The tokenizer folder of an encoder: written by `train` and `adapt`, opened by `load` and by `AutoTokenizer`.

tokenizer.json          the `tokenizers` library's file: text → <cls> A <sep>, two texts → <cls> A <sep> B <sep>
tokenizer_config.json   names of the special tokens; the model's inputs have no token_type_ids
sentencepiece.model     encodes corpora faster; present only if it gives the same ids (see unigram.py)

A special token has a role ("mask", "pad", "cls", "sep", "unk", "bos", "eos") and a name, its spelling.
"""

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from anaume.errors import UserError
from anaume.files.names import require_unicode
from anaume.files.outputs import output_folder, require_own_folder

TOKENIZER, CONFIG, SENTENCEPIECE = "tokenizer.json", "tokenizer_config.json", "sentencepiece.model"
NAMES = "special_tokens_map.json"
# What a tokenizer without a tokenizer.json consists of, beside its configuration.
VOCABULARIES = ("added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "*.model")
FILES = (TOKENIZER, CONFIG, NAMES, *VOCABULARIES)
ROLES = ("mask", "pad", "cls", "sep")  # the special tokens that an encoder needs
ALL_ROLES = (*ROLES, "unk", "bos", "eos")
# The one class of transformers that does what tokenizer.json says. Others build their own normaliser and template.
FAITHFUL_CLASS = "PreTrainedTokenizerFast"

_POSITIONS = 8192  # tokens; the longest input that the model supports
# The command in the mark of a tokenizer folder, whichever verb makes it.
COMMAND = "tokenizer"
_SPELLING = re.compile(r"[<\[](mask|pad|cls|sep|unk)(\|[^>\]]*)?[>\]]", re.IGNORECASE)


def roles_by_spelling(names: Iterable[str]) -> dict[str, str]:
    """Return role → first name with the spelling of that role: `<MASK>`, `[MASK]`, `<mask|LLM-jp>`, `<unk>`, …"""
    names_of_roles: dict[str, str] = {}
    for name in names:
        if match := _SPELLING.fullmatch(name):
            names_of_roles.setdefault(match[1].lower(), name)
    return names_of_roles


def need_roles(roles: Collection[str], place: str) -> None:
    """Check that `roles` include all of `ROLES`.

    Raises:
        UserError: Some are missing. The message begins with `place` and names them.
    """
    missing = [role for role in ROLES if role not in roles]
    if missing:
        raise UserError(
            f"{place}: a tokenizer without a {' and a '.join(missing)} token; "
            f"expected one with {', '.join(ROLES)} (spelled like <mask> or [MASK], or named in {CONFIG})"
        )


def write(tokenizer: Tokenizer, names: dict[str, str], sentencepiece_model: bytes | None, out: Path) -> None:
    """Write the tokenizer folder `out`, replacing an older one. `tokenizer` is modified.

    `names`: role → name of its special token; all of `ROLES`, and optionally "unk", "bos" and "eos".
    `sentencepiece_model`: content of sentencepiece.model, or None if it would not give the same ids.

    Raises:
        UserError: `require_own_folder` refuses `out`.
    """
    require_own_folder(out, COMMAND)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    make_special(tokenizer, names.values())
    cls, sep = names["cls"], names["sep"]
    if tokenizer.encode("").tokens != [cls, sep]:  # A tokenizer that already puts cls and sep keeps its form of pairs.
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[f"{cls}:0", "$A:0", f"{sep}:0"],
            pair=[f"{cls}:0", "$A:0", f"{sep}:0", "$B:0", f"{sep}:0"],
            special_tokens=[(name, tokenizer.token_to_id(name)) for name in (cls, sep)],
        )
    config: dict[str, Any] = {
        "tokenizer_class": FAITHFUL_CLASS,
        "model_max_length": _POSITIONS,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
        "truncation_side": "right",
        **{f"{role}_token": names[role] for role in ALL_ROLES if role in names},
    }
    with output_folder(out, COMMAND) as folder:
        tokenizer.save(str(folder / TOKENIZER))
        write_config(config, folder)
        if sentencepiece_model is not None:
            (folder / SENTENCEPIECE).write_bytes(sentencepiece_model)


def make_special(tokenizer: Tokenizer, names: Iterable[str], *, lstrip: bool = False) -> None:
    """Make special tokens of `names`, new ones at the end of the vocabulary; existing ones keep their properties.

    `lstrip`: new tokens take the space before them with them.
    """
    added = {token.content: token for token in tokenizer.get_added_tokens_decoder().values()}
    changed = []
    for name in dict.fromkeys(names):
        token = added.get(name, AddedToken(name, normalized=False, lstrip=lstrip))
        if name not in added or not token.special:
            token.special = True
            changed.append(token)
    tokenizer.add_special_tokens(changed)


def write_config(config: dict[str, Any], folder: Path) -> None:
    """Write tokenizer_config.json."""
    (folder / CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", "utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of tokenizer_config.json; {} if there is none.

    Raises:
        UserError: The file is not a JSON object.
    """
    return _read_object(folder / CONFIG)


def _read_object(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        value = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not JSON ({error}); expected the file that `transformers` writes") from error
    if not isinstance(value, dict):
        raise UserError(f"{file}: not a JSON object; expected the file that `transformers` writes")
    return value


def read_tokenizer_json(folder: Path) -> Tokenizer:
    """Open the folder's tokenizer.json.

    Raises:
        UserError: The file is damaged, the library does not know its kind of model, or the name is not UTF-8.
    """
    require_unicode(folder)
    try:
        return Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # The library raises no narrower class.
        reason = " ".join(str(error).split())
        message = f"{folder / TOKENIZER}: not a tokenizer ({reason}); expected a file of the `tokenizers` library"
        raise UserError(message) from error


def read_names(folder: Path, tokenizer: Tokenizer) -> dict[str, str]:
    """Return role → name of the special tokens of a Hugging Face tokenizer folder.

    The folder's configuration files name them, and the model names its unknown token. The spelling identifies those of
    `ROLES` and the unknown token where they are not named.
    """
    names = {}
    for file in (NAMES, CONFIG):
        config = _read_object(folder / file)
        for role in ALL_ROLES:
            value = config.get(f"{role}_token")
            name = value.get("content") if isinstance(value, dict) else value
            if isinstance(name, str) and tokenizer.token_to_id(name) is not None:
                names[role] = name
    if isinstance(name := getattr(tokenizer.model, "unk_token", None), str) and tokenizer.token_to_id(name) is not None:
        names.setdefault("unk", name)
    if not names.keys() >= {*ROLES, "unk"}:
        names = roles_by_spelling(tokenizer.get_vocab()) | names
    return names
