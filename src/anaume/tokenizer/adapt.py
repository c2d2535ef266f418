"""An existing tokenizer, usually a decoder's → the tokenizer folder of an encoder.

The vocabulary keeps its pieces and their ids. Two things change: a text becomes `<cls> A <sep>` instead of the
decoder's `<s> A`, and a SentencePiece Unigram model, or a Hugging Face folder made from one, gets the form that
unigram.py describes.
"""

from pathlib import Path

from anaume.errors import UserError
from anaume.files.outputs import require_own_folder
from anaume.tokenizer import folder as folders
from anaume.tokenizer import unigram
from anaume.tokenizer.hub import local_folder
from anaume.tokenizer.unigram import Proto

_LLM_JP_PIECES = ("<unk>", "<s>", "</s>", "<MASK>", "<PAD>", "<CLS>", "<SEP>", "<EOD>")  # the first ids, in order


def adapt_tokenizer(source: str, out: Path) -> None:
    """Write the tokenizer `source` to `out` as the tokenizer folder of an encoder.

    `source`: a SentencePiece .model file, a Hugging Face tokenizer folder, or the id of one on the Hub.

    Raises:
        UserError: `source` is none of these, lacks a mask, pad, cls or sep piece, or is a .model file whose type is not
            Unigram; or `require_own_folder` refuses `out`.
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


def write_unigram(proto: Proto, place: str, out: Path) -> None:
    """Write the tokenizer folder of a SentencePiece Unigram model, finding the special pieces by their spelling.

    Error messages begin with `place`. `proto` is modified.

    Raises:
        UserError: The model lacks a mask, pad, cls or sep piece.
    """
    if tuple(piece.piece for piece in proto.pieces[: len(_LLM_JP_PIECES)]) == _LLM_JP_PIECES:
        for piece in proto.pieces[3 : len(_LLM_JP_PIECES)]:  # LLM-jp's folders on the Hub use this spelling.
            piece.piece = f"{piece.piece[:-1]}|LLM-jp>"
    pieces = [piece.piece for piece in proto.pieces]
    names = folders.roles_by_spelling(pieces)
    folders.need_roles(names, place)
    unigram.prepare(proto, [pieces.index(name) for name in names.values()])
    for role, name in (("unk", proto.trainer_spec.unk_piece), ("bos", "<s>"), ("eos", "</s>")):
        if name in pieces:
            names[role] = name
    model = proto.SerializeToString() if unigram.is_exact(proto) else None
    folders.write(unigram.to_tokenizers(proto), names, model, out)


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
