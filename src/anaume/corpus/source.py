"""The table of a recipe that says where text comes from: one `[[corpus.train]]` or `[[corpus.validation]]`."""

import hashlib
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from anaume.corpus.storage import printable
from anaume.errors import redact

# A source sets exactly one of these keys. The options after them describe the text of that one origin.
ORIGINS = ("path", "hub", "builtin", "tokens")
ORIGIN_OPTIONS = (
    *("subset", "split", "text_field", "encoding", "documents"),
    *("megabytes", "skip_documents", "max_documents", "hash_range"),
)


class TomlTable(BaseModel):
    """A frozen table of a recipe. An unknown key is an error, and a string is never read as a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Source(TomlTable):
    """Text from files, from a data set on the Hub or from the built-in corpus, or a folder of tokens made earlier."""

    path: str = Field(
        "",
        description="Path, URL, folder or glob. JSON lines (.jsonl, .ndjson) and text (.txt) may be packed (.gz, .zst),"
        " .json.gz is read as JSON lines, and .parquet and .arrow as tables. A folder stands for all such files below "
        "it, or for the data set that `save_to_disk` of the library datasets wrote.",
    )
    hub: str = Field("", description="Id of a data set on the Hugging Face Hub.")
    subset: str = Field("", description="Subset (configuration) of the data set `hub`.")
    split: str = Field(
        "train",
        description="Split of the data set `hub` or of a folder that `save_to_disk` wrote, or of the built-in corpus, "
        'which has "train" and "validation".',
    )
    text_field: str = Field(
        "text", min_length=1, description="Field of JSON lines, or column of a table, that holds the text."
    )
    documents: Literal["files", "lines"] = Field(
        "files", description='What a document of .txt files is: a whole file, or with "lines" each line.'
    )
    encoding: str = Field(
        "utf-8",
        description='Encoding of .txt files and JSON lines, a name that Python knows, such as "cp932" (the Shift_JIS of'
        ' Windows), "euc_jp" or "utf-16".',
    )
    tokens: str = Field(
        "",
        description="Folder that `anaume tokens` wrote with the tokenizer of the run. A folder of several sources is "
        "named by one of its folders `source-N`.",
    )
    builtin: Literal["", "hakoniwa"] = Field("", description="Name of the built-in corpus.")
    megabytes: float = Field(
        8.0, gt=0, description="Size of the built-in corpus in megabytes (1,000,000 bytes) of UTF-8 text."
    )
    seed: int = Field(0, ge=0, description="Seed of the built-in corpus and of the hashes of `hash_range`.")
    weight: float = Field(
        1.0,
        gt=0,
        description="Number of times that an epoch of training reads each document: 2.0 reads it twice, 0.5 reads half "
        "of the documents, a different half each epoch. Validation ignores it.",
    )
    name: str = Field(
        "",
        pattern=r"^[\w.-]*$",
        description="Name of the validation set to which a source of validation text belongs. The sources of one name, "
        "and those without one, are one set, and each set is measured apart.",
    )
    skip_documents: int = Field(0, ge=0, description="Number of documents to leave out at the start.")
    max_documents: int = Field(
        0, ge=0, description="Number of documents to read after the skipped ones; 0 reads all of them."
    )
    hash_range: list[float] = Field(
        [0.0, 1.0],
        description="Only documents whose hash, a number that the text and `seed` give, is at least the first of these "
        "numbers and below the second. Ranges that do not overlap share no text: [0.0, 0.9] has about 90 % of the "
        "documents and [0.9, 1.0] the others, in any order of the files.",
    )
    bad_lines: float = Field(
        0.01, ge=0, le=1, description="Fraction of unreadable lines above which reading stops with an error."
    )

    @model_validator(mode="after")
    def _is_range(self) -> Self:
        if len(self.hash_range) != 2 or not 0 <= self.hash_range[0] < self.hash_range[1] <= 1:
            raise ValueError(f"hash_range = {self.hash_range}: no range; expected two numbers that rise, from 0 to 1")
        if self.tokens and self.hash_range != [0.0, 1.0]:
            raise ValueError("hash_range: given with tokens, which have no text; expected path, hub or builtin")
        return self

    @field_validator("encoding")
    @classmethod
    def _is_text_encoding(cls, value: str) -> str:
        try:
            "\n".encode(value)
        except (LookupError, ValueError):
            raise ValueError(
                f"encoding = {value!r}: unknown; expected utf-8, cp932, euc_jp, utf-16 or another of Python's"
            ) from None
        return value

    def published(self) -> Self:
        """Return the source as files of a run show it: without the user information and the query of its address."""
        return self.model_copy(update={"path": redact(self.path), "tokens": redact(self.tokens)})

    def draws(self, text: str) -> bool:
        """Return whether the hash of a document's text lies in `hash_range`."""
        low, high = self.hash_range
        if low <= 0 and high >= 1:
            return True
        content = hashlib.blake2b(f"{self.seed}\0".encode(), digest_size=8)
        content.update(text.encode())
        # A float holds 53 bits, so the fraction is exact and below 1.
        return low <= (int.from_bytes(content.digest()) >> 11) / (1 << 53) < high

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = [key for key in ORIGINS if getattr(self, key)]
        if len(origins) != 1:
            problem = f"{', '.join(origins)}: more than one origin" if origins else "no origin"
            raise ValueError(f"{problem}; expected one of {', '.join(ORIGINS)}")
        return self

    def __str__(self) -> str:
        if self.hub:
            return ":".join(part for part in ("hub", self.hub, self.subset, self.split) if part)
        if self.builtin:
            return f"builtin:{self.builtin}:{self.split}"
        return printable(f"tokens:{self.tokens}" if self.tokens else redact(self.path))
