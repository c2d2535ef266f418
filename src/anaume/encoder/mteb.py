"""Adapters for mteb, which holds JMTEB: a folder or Hub id → a model that `mteb.evaluate` takes.

    import mteb
    from anaume.encoder.mteb import MtebEncoder
    mteb.evaluate(MtebEncoder("my-encoder"), mteb.get_benchmark("JMTEB(v2)").tasks)

`SentenceTransformer("my-encoder")` works there too and gives equal scores. But mteb gives all
models in local folders one name, so it would return the cached results of one model for another. This class names the
model and its weights, adds prefixes, and embeds without padding. The rule: embeddings are those of `encoder.embed`.
`MtebLateEncoder` does as much for late-interaction models, whose embeddings are sentence-transformers' own.
"""

from typing import Unpack

from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import MultiVectorWrapper
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import Array, BatchedInput, EncodeKwargs, PromptType
from torch.utils.data import DataLoader
from typing_extensions import override

from anaume.encoder.embed import embed
from anaume.encoder.load import load_encoder, name_of, revision_of
from anaume.encoder.modules import open_late
from anaume.encoder.pooling import pooling_of


class MtebEncoder(AbsEncoder):
    """A model of mteb whose embeddings are compared by their cosine.

    `pooling` is "own", that of the model's folder, or "mean", the paper's. The prefixes are for models trained with
    them (ruri: "クエリ: " and "文章: "). `positive_prefix` is put before the documents of retrieval tasks,
    `query_prefix` before every other text. An empty one means the prompt of the folder.

    Raises:
        UserError: the model can't be opened.
    """

    def __init__(
        self,
        model_name: str,
        *,
        query_prefix: str = "",
        positive_prefix: str = "",
        pooling: str = "own",
        batch_tokens: int = 8192,
    ) -> None:
        self.encoder = load_encoder(model_name, masked_lm=False)
        self.pooling = pooling_of(model_name, pooling, self.encoder.device)
        self.query_prefix = query_prefix or self.pooling.query
        self.positive_prefix = positive_prefix or self.pooling.document
        self.batch_tokens = batch_tokens
        name = self.encoder.name
        prefixes = {"query_prefix": query_prefix, "positive_prefix": positive_prefix}
        self.mteb_model_meta = ModelMeta.create_empty(
            {
                "name": name if "/" in name else f"local/{name}",
                "revision": self.encoder.revision,
                "max_tokens": self.encoder.max_length,
                "embed_dim": self.encoder.model.config.hidden_size,
                "similarity_fn_name": ScoringFunction.COSINE,
                "experiment_kwargs": {key: value for key, value in prefixes.items() if value} or None,
            }
        )

    @override
    def encode(
        self,
        inputs: DataLoader[BatchedInput],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Unpack[EncodeKwargs],
    ) -> Array:
        """Return the embeddings of the texts of all batches: (texts, hidden) float32."""
        prefix = self.positive_prefix if prompt_type == PromptType.document else self.query_prefix
        texts = [text for batch in inputs for text in batch["text"]]
        vectors = embed(self.encoder, texts, pooling=self.pooling, prompt=prefix, batch_tokens=self.batch_tokens)
        return vectors.numpy()


class MtebLateEncoder(MultiVectorWrapper):
    """A late-interaction model of mteb, whose token vectors are compared by MaxSim.

    Raises:
        UserError: the model can't be opened.
    """

    def __init__(self, model_name: str) -> None:
        super().__init__(open_late(model_name))
        name = name_of(model_name)
        self.mteb_model_meta = self.mteb_model_meta.model_copy(
            update={"name": name if "/" in name else f"local/{name}", "revision": revision_of(model_name)}
        )
