"""An existing tokenizer, most often a decoder's → the encoder's tokenizer folder.

The vocabulary stays as it is, id by id. What changes: `<cls> A <sep>` instead of the decoder's `<s>`, and for
SentencePiece Unigram models, or Hugging Face folders made from one, the form described in unigram.py.
"""

from pathlib import Path

from anaume.errors import UserError
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.hub import local_folder
from anaume.tokenizer.unigram import Proto

_LLM_JP = ("<unk>", "<s>", "</s>", "<MASK>", "<PAD>", "<CLS>", "<SEP>", "<EOD>")


def adapt_tokenizer(source: str, out: Path) -> None:
    """Write the tokenizer `source` as an encoder's tokenizer folder to `out`.

    `source`: a SentencePiece .model file, a Hugging Face tokenizer folder, or the id of one on the Hub.

    Raises:
        UserError: `source` is none of these, has no mask, pad, cls or sep piece, or is no Unigram .model;
            `out` holds something else than a tokenizer.
    """
    folders.check_out(out)
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
    raise UserError(f"tokenizer {source}: no {folders.TOKENIZER} in it; accepted: a folder with one")


def write_unigram(proto: Proto, place: str, out: Path) -> None:
    """Write a SentencePiece Unigram model, whose mask, pad, cls and sep are found by their spelling."""
    if tuple(piece.piece for piece in proto.pieces[: len(_LLM_JP)]) == _LLM_JP:
        for piece in proto.pieces[3 : len(_LLM_JP)]:  # as LLM-jp's folders on the Hub spell them
            piece.piece = f"{piece.piece[:-1]}|LLM-jp>"
    names = [piece.piece for piece in proto.pieces]
    roles = folders.roles_by_spelling(names)
    folders.need_roles(roles, place)
    unigram.prepare(proto, [names.index(name) for name in roles.values()])
    for role, name in (("unk", proto.trainer_spec.unk_piece), ("bos", "<s>"), ("eos", "</s>")):
        if name in names:
            roles[role] = name
    model = proto.SerializeToString() if unigram.is_exact(proto) else None
    folders.write(unigram.to_tokenizers(proto), roles, model, out)


def _adapt_folder(folder: Path, out: Path) -> None:
    tokenizer = folders.read_tokenizer_json(folder)
    names = folders.read_names(folder, tokenizer)
    folders.need_roles(names, str(folder))
    proto = unigram.from_tokenizers(tokenizer)
    if proto is None:
        folders.write(tokenizer, names, None, out)
        return
    piece_ids = tokenizer.get_vocab(with_added_tokens=True)
    unigram.prepare(proto, [piece_ids[name] for name in names.values()])
    folders.write(unigram.to_tokenizers(proto), names, proto.SerializeToString(), out)
