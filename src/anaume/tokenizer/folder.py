"""The tokenizer folder that `train` and `adapt` write, and that `AutoTokenizer` opens.

tokenizer.json          `tokenizers`: text → <cls> A <sep>, or <cls> A <sep> B <sep>
tokenizer_config.json   names of the special tokens; no token_type_ids
sentencepiece.model     only where it gives the same ids (see unigram.py): it is what encodes corpora
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, processors

from anaume.errors import UserError
from anaume.files import folder_atomic

TOKENIZER, CONFIG, SENTENCEPIECE = "tokenizer.json", "tokenizer_config.json", "sentencepiece.model"
ROLES = ("mask", "pad", "cls", "sep")  # the special tokens an encoder can't do without
NAMED = (*ROLES, "unk", "bos", "eos")
POSITIONS = 8192

_LOOKS_LIKE = re.compile(r"[<\[](mask|pad|cls|sep)(\|[^>\]]*)?[>\]]", re.IGNORECASE)


def roles_by_spelling(names: Iterable[str]) -> dict[str, str]:
    """Role → the first of `names` that is spelled like it: `<MASK>`, `[MASK]`, `<mask|LLM-jp>`, …"""
    found: dict[str, str] = {}
    for name in names:
        if match := _LOOKS_LIKE.fullmatch(name):
            found.setdefault(match[1].lower(), name)
    return found


def need_roles(roles: dict[str, str], place: str) -> None:
    """Refuse a vocabulary without one of `ROLES`.

    Raises:
        UserError: naming what is missing.
    """
    missing = [role for role in ROLES if role not in roles]
    if missing:
        raise UserError(
            f"{place}: a tokenizer without a {' and a '.join(missing)} token; "
            f"accepted: one with {', '.join(ROLES)} (spelled like <mask> or [MASK], or named in {CONFIG})"
        )


def check_out(out: Path) -> None:
    """Refuse to write over a folder that holds anything else than a tokenizer of ours.

    Raises:
        UserError: naming what is in the way.
    """
    if out.is_dir():
        foreign = sorted(file.name for file in out.iterdir() if file.name not in _OURS)
        if foreign:
            raise UserError(f"{out}: holds {foreign[0]}; accepted: a new folder, or one with a tokenizer only")
    elif out.exists():
        raise UserError(f"{out}: a file; accepted: a new folder")


_OURS = (TOKENIZER, CONFIG, SENTENCEPIECE, "origin.json")  # the last: a run's note of where it came from


def write(tokenizer: Tokenizer, names: dict[str, str], sentencepiece_model: bytes | None, out: Path) -> None:
    """Make `out` a tokenizer folder; `names` maps the roles, and perhaps unk, bos, eos, to their tokens."""
    check_out(out)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.add_special_tokens(
        [AddedToken(name, normalized=False, special=True) for name in dict.fromkeys(names.values())]
    )
    cls, sep = names["cls"], names["sep"]
    if tokenizer.encode("").tokens != [cls, sep]:  # else it is an encoder's already: its way with pairs stays
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[f"{cls}:0", "$A:0", f"{sep}:0"],
            pair=[f"{cls}:0", "$A:0", f"{sep}:0", "$B:0", f"{sep}:0"],
            special_tokens=[(name, tokenizer.token_to_id(name)) for name in (cls, sep)],
        )
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": POSITIONS,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
        "truncation_side": "right",
        **{f"{role}_token": names[role] for role in NAMED if role in names},
    }
    with folder_atomic(out) as folder:
        tokenizer.save(str(folder / TOKENIZER))
        (folder / CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", "utf-8")
        if sentencepiece_model is not None:
            (folder / SENTENCEPIECE).write_bytes(sentencepiece_model)


def read_tokenizer_json(folder: Path) -> Tokenizer:
    """Open the folder's tokenizer.json.

    Raises:
        UserError: it is damaged, or of a kind that the library doesn't know.
    """
    try:
        return Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{folder / TOKENIZER}: not a tokenizer ({' '.join(str(error).split())})") from error


def read_names(folder: Path, tokenizer: Tokenizer) -> dict[str, str]:
    """Role → token, of any Hugging Face tokenizer folder: as its configuration says, else by spelling.

    Also "unk", "bos" and "eos" where the configuration names them.
    """
    names = {}
    for file in ("special_tokens_map.json", CONFIG):
        if (folder / file).exists():
            config = json.loads((folder / file).read_text("utf-8"))
            for role in NAMED:
                value = config.get(f"{role}_token")
                name = value.get("content") if isinstance(value, dict) else value
                if isinstance(name, str) and tokenizer.token_to_id(name) is not None:
                    names[role] = name
    if not names.keys() >= set(ROLES):
        names = roles_by_spelling(tokenizer.get_vocab()) | names
    return names
