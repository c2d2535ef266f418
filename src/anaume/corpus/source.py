"""The table of a recipe that says where text comes from: one `[[corpus.train]]` or `[[corpus.validation]]`."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from anaume.errors import redact

# A source sets exactly one of these keys. The options after them describe the text of that one origin.
ORIGINS = ("path", "hub", "builtin", "tokens")
ORIGIN_OPTIONS = ("subset", "split", "megabytes", "skip_documents", "max_documents")


class TomlTable(BaseModel):
    """A frozen table of a recipe. An unknown key is an error, and a string is never read as a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Source(TomlTable):
    """Text from files, from a data set on the Hub or from the built-in corpus, or a folder of tokens made earlier."""

    path: str = Field("", description="Path, URL or glob of .jsonl, .jsonl.gz, .jsonl.zst, .parquet or .txt files.")
    hub: str = Field("", description="Id of a data set on the Hugging Face Hub. Its rows need a column `text`.")
    subset: str = Field("", description="Subset (configuration) of the data set `hub`.")
    split: str = Field(
        "train",
        description='Split of the data set `hub`, or of the built-in corpus, which has "train" and "validation".',
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
    seed: int = Field(0, ge=0, description="Seed of the built-in corpus.")
    weight: float = Field(
        1.0,
        gt=0,
        description="Number of times that an epoch of training reads each document: 2.0 reads it twice, 0.5 reads half "
        "of the documents, a different half each epoch. Validation ignores it.",
    )
    skip_documents: int = Field(0, ge=0, description="Number of documents to leave out at the start.")
    max_documents: int = Field(
        0, ge=0, description="Number of documents to read after the skipped ones; 0 reads all of them."
    )
    bad_lines: float = Field(
        0.01, ge=0, le=1, description="Fraction of unreadable lines above which reading stops with an error."
    )

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
        return f"tokens:{self.tokens}" if self.tokens else redact(self.path)
