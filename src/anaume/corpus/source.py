"""Where text comes from: one `[[corpus.train]]` or `[[corpus.validation]]` table of a recipe."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Source(BaseModel):
    """One of a glob of files, a data set on the Hub, the built-in corpus, or tokens that are there already.

    `path`     path, URL or glob of .jsonl, .jsonl.gz, .jsonl.zst, .parquet or .txt files
    `hub`      data set id, with `subset` and `split`; its rows need a `text` column
    `tokens`   folder that `anaume tokens` wrote with the run's tokenizer: of one source, or one of its `source-N`
    `builtin`  "hakoniwa", with `split` ("train" or "validation"), `megabytes` and `seed`
    `weight`   how often an epoch uses each document: 2.0 twice, 0.5 every other one
    `skip_documents` leave out so many at the start; `max_documents` stop after so many, 0 reads all
    `bad_lines`      share of unreadable lines past which reading stops with an error
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    path: str = ""
    hub: str = ""
    subset: str = ""
    split: str = "train"
    tokens: str = ""
    builtin: Literal["", "hakoniwa"] = ""
    megabytes: float = Field(8.0, gt=0)
    seed: int = Field(0, ge=0)
    weight: float = Field(1.0, gt=0)
    skip_documents: int = Field(0, ge=0)
    max_documents: int = Field(0, ge=0)
    bad_lines: float = Field(0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [name for name in ("path", "hub", "builtin", "tokens") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give one of path, hub, builtin, tokens (got {', '.join(given) or 'none'})")
        return self

    def __str__(self) -> str:
        if self.hub:
            return ":".join(part for part in ("hub", self.hub, self.subset, self.split) if part)
        if self.builtin:
            return f"builtin:{self.builtin}:{self.split}"
        return f"tokens:{self.tokens}" if self.tokens else self.path
