"""An existing tokenizer → the tokenizer folder of an encoder.

`adapt_tokenizer` is for a decoder's. The vocabulary keeps its pieces and their ids. Three things change: a text becomes
`<cls> A <sep>` instead of the decoder's `<s> A`, special tokens that an encoder needs are added at the end if they are
absent, and a SentencePiece Unigram model, or a Hugging Face folder made from one, gets the form that unigram.py
describes. `copy_tokenizer` is for an encoder's, of which nothing changes.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken
from tokenizers import Tokenizer as Fast

from anaume.errors import UserError
from anaume.files.outputs import output_folder, require_own_folder
from anaume.progress import say
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.hub import local_folder
from anaume.tokenizer.load import Tokenizer, load_tokenizer, one_text, tokenizers_encoder
from anaume.tokenizer.probes import RARE, differences, literals, probes
from anaume.tokenizer.unigram import SPACE_MARKS, Proto

_LLM_JP_PIECES = ("<unk>", "<s>", "</s>", "<MASK>", "<PAD>", "<CLS>", "<SEP>", "<EOD>")  # the first ids, in order


def adapt_tokenizer(source: str, out: Path) -> None:
    """Write the tokenizer `source` to `out` as the tokenizer folder of an encoder.

    `source`: a SentencePiece .model file, a Hugging Face tokenizer folder, or the id of one on the Hub. A message on
    standard error names the special tokens that are added.

    Raises:
        UserError: `source` is none of these, or is a .model file whose type is not Unigram or that `tokenizers` would
            not read like SentencePiece; or `require_own_folder` refuses `out`.
    """
    require_own_folder(out, folders.COMMAND)
    path = Path(source).expanduser()
    folder = path if path.is_file() else local_folder(source)
    models = [path] if path.is_file() else [folder / folders.SENTENCEPIECE, folder / "tokenizer.model"]
    if folder.is_dir() and (folder / folders.TOKENIZER).exists() and not models[0].exists():
        _adapt_folder(folder, out)
        return
    for model in models:
        if model.exists():
            write_unigram(unigram.read(model.read_bytes(), str(model)), str(model), out)
            return
    raise UserError(
        f"tokenizer {source}: contains no {folders.TOKENIZER}; "
        f"expected a folder that contains it, {folders.SENTENCEPIECE} or tokenizer.model"
    )


def copy_tokenizer(source: str, out: Path) -> None:
    """Write the tokenizer `source` to `out` as it is: ids, special tokens, template, lengths and added tokens stay.

    `source`: a folder or Hub id that `load_tokenizer` opens. Only the class of `transformers` may change, to the one
    that does what tokenizer.json says, and the model's inputs, because ModernBERT has no token types.

    Raises:
        UserError: see `load_tokenizer`; or `require_own_folder` refuses `out`.
    """
    require_own_folder(out, folders.COMMAND)
    tokenizer = load_tokenizer(source)
    with output_folder(out, folders.COMMAND) as folder:
        write_copy(tokenizer, folder)


def write_copy(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files of a tokenizer into the folder `folder`; see `copy_tokenizer`."""
    config = folders.read_config(tokenizer.folder)
    if (tokenizer.folder / folders.TOKENIZER).exists():
        engine_file = [folders.SENTENCEPIECE] if tokenizer.engine == "sentencepiece" else []
        for name in (folders.TOKENIZER, folders.NAMES, *engine_file):
            if (tokenizer.folder / name).exists():
                shutil.copyfile(tokenizer.folder / name, folder / name)
    else:
        from anaume.tokenizer.auto import open_auto_tokenizer

        open_auto_tokenizer(tokenizer.folder).save_pretrained(folder)
        config |= folders.read_config(folder)
    if tokenizer.engine != "transformers":
        config["tokenizer_class"] = folders.FAITHFUL_CLASS
    config["model_input_names"] = ["input_ids", "attention_mask"]
    config.pop("auto_map", None)
    folders.write_config(config, folder)


def write_unigram(proto: Proto, place: str, out: Path, *, mask_takes_space: bool = False) -> None:
    """Write the tokenizer folder of a SentencePiece Unigram model, finding the special pieces by their spelling.

    Missing ones are added as control pieces. `mask_takes_space`: the mask token takes the space before it with it.
    Error messages begin with `place`. `proto` is modified.

    Raises:
        UserError: `tokenizers` would read some texts in another way than SentencePiece.
    """
    if tuple(piece.piece for piece in proto.pieces[: len(_LLM_JP_PIECES)]) == _LLM_JP_PIECES:
        for piece in proto.pieces[3 : len(_LLM_JP_PIECES)]:  # LLM-jp's folders on the Hub use this spelling.
            piece.piece = f"{piece.piece[:-1]}|LLM-jp>"
    pieces = [piece.piece for piece in proto.pieces]
    names = folders.roles_by_spelling(pieces)
    for role, name in (("unk", proto.trainer_spec.unk_piece), ("bos", "<s>"), ("eos", "</s>")):
        if name in pieces:
            names[role] = name
    new = _missing_names(names, place, len(pieces))
    mask_takes_space |= "mask" in new and _separates_words(pieces)
    unigram.add_control(proto, new.values())
    names |= new
    _make_control(proto, names)
    unigram.round_scores(proto)
    reference = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    tokenizer = unigram.to_tokenizers(proto, [_new_token(names["mask"], lstrip=mask_takes_space)])
    read = _read(tokenizer, names)
    special = [name for role, name in names.items() if role != "unk"]
    if others := list(differences(probes(special), reference.encode, read)):
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise UserError(
            f"{place}: transformers would read other tokens than SentencePiece in {', '.join(others[:3])}{more};"
            " expected a model that normalises nothing (normalization_rule_name = identity)"
        )
    # What spells the unknown token is mostly unknown itself.
    for name in differences(RARE | literals([names["unk"]]), reference.encode, read):
        say(f"anaume: {place}: {name} is not read as SentencePiece reads it")
    model = proto.SerializeToString() if unigram.is_exact(proto) else None
    folders.write(tokenizer, names, model, out)


def _adapt_folder(folder: Path, out: Path) -> None:
    tokenizer = folders.read_tokenizer_json(folder)
    names = folders.read_names(folder, tokenizer)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    new = _missing_names(names, str(folder), max(vocabulary.values()) + 1)
    mask_takes_space = _separates_words(vocabulary)
    names |= new
    proto = unigram.from_tokenizers(tokenizer)
    if proto is not None:
        unigram.add_control(proto, new.values())
        _make_control(proto, names)
        unigram.round_scores(proto)
        added = [*tokenizer.get_added_tokens_decoder().values()]
        added += [_new_token(name, lstrip=role == "mask" and mask_takes_space) for role, name in new.items()]
        converted = unigram.to_tokenizers(proto, added)
        if not any(differences(probes(), _read(tokenizer, names), _read(converted, names))):
            folders.write(converted, names, proto.SerializeToString(), out)
            return
    for role, name in new.items():
        tokenizer.add_special_tokens([_new_token(name, lstrip=role == "mask" and mask_takes_space)])
    folders.write(tokenizer, names, None, out)


def _missing_names(names: dict[str, str], place: str, next_id: int) -> dict[str, str]:
    """Return role → name of the special tokens that an encoder needs beyond `names`, and say that they are added."""
    new = {role: f"<{role.upper()}|anaume>" for role in folders.ROLES if role not in names}
    if new:
        ids = f"{next_id} to {next_id + len(new) - 1}" if len(new) > 1 else f"{next_id}"
        say(f"anaume: {place}: adds {', '.join(new.values())} with the ids {ids}")
    return new


def _separates_words(pieces: Iterable[str]) -> bool:
    """Return whether the vocabulary is one of languages with spaces: many pieces begin with the mark of a space."""
    begins_word = [piece.startswith(SPACE_MARKS) for piece in pieces if len(piece) > 1 and piece[0] not in "<["]
    return sum(begins_word) > len(begins_word) / 4


def _new_token(name: str, *, lstrip: bool) -> AddedToken:
    return AddedToken(name, lstrip=lstrip, normalized=False, special=True)


def _make_control(proto: Proto, names: dict[str, str]) -> None:
    ids = {piece.piece: i for i, piece in enumerate(proto.pieces)}
    unigram.make_control(proto, [ids[name] for name in names.values()])


def _read(tokenizer: Fast, names: dict[str, str]) -> Callable[[str], Sequence[int]]:
    """Return the function text → ids of a tokenizer, as corpora are encoded with it."""
    copy = Fast.from_str(tokenizer.to_str())
    special = {i for name in names.values() if (i := copy.token_to_id(name)) is not None}
    return one_text(tokenizers_encoder(copy, special, copy.token_to_id(names.get("unk", ""))))
