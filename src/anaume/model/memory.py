"""What training takes of a GPU's memory, part by part, from the shapes alone.

The rule: each part is what the training step really holds when the backward pass begins, its fullest moment; a test
counts the tensors that autograd keeps on the CUDA path and compares. Not counted: what the allocator loses between
blocks.

Shapes: T token slots of a micro-batch, M scored slots, V vocabulary.
"""

from dataclasses import dataclass

from anaume.batches.masking import Masking
from anaume.recipe import Model, Stage

# Rows of the vocabulary matrix are padded to a multiple of this, for the speed of the products; export removes them.
VOCABULARY_MULTIPLE = 64
# What CUDA's context, cuBLAS and the allocator take beside tensors: an allowance, seen between 0.5 and 1 GiB.
CONTEXT = 1 << 30
FLOAT, HALF = 4, 2


@dataclass(frozen=True)
class Parameters:
    """Numbers of weights: the vocabulary's matrix (the decoder is tied to it), the other matrices, the vectors."""

    vocabulary: int
    matrices: int
    vectors: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.vocabulary + self.matrices + self.vectors


def parameters(model: Model, vocab_size: int) -> Parameters:
    """Of a recipe's model: no biases but the decoder's, and layer 0 has no attention norm."""
    hidden = model.hidden
    a_layer = 4 * hidden**2 + 3 * hidden * model.intermediate
    # Two norms a layer less layer 0's, and those of the embeddings, of the last layer and of the head.
    norms = 2 * model.layers + 2
    return Parameters(vocab_size * hidden, model.layers * a_layer + hidden**2, norms * hidden + vocab_size)


def scored_slots(stage: Stage, slots: int) -> int:
    """How many of `slots` get logits: the same number for a whole stage."""
    return Masking(stage.mask_rate, stage.final_mask_rate or stage.mask_rate).slots(slots)


def memory(model: Model, vocab_size: int, stage: Stage) -> dict[str, int]:
    """Bytes by part on each GPU: float32 weights, bf16 autocast, a micro-batch at a time.

    On several GPUs add `gradients` once more where a step has several micro-batches: those before the last one leave
    their sum beside the buckets in which it is sent.
    """
    padded = -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    weights = parameters(model, padded)
    rest = weights.total - weights.matrices
    moments = {
        "adamw": ("AdamW's two moments", 2 * FLOAT * weights.total),
        "muon": ("Muon's momentum, AdamW's moments", FLOAT * weights.matrices + 2 * FLOAT * rest),
    }
    scored = scored_slots(stage, stage.micro_batch_tokens)
    return {
        "weights": FLOAT * weights.total,
        "gradients": FLOAT * weights.total,
        moments[stage.optimizer][0]: moments[stage.optimizer][1],
        "bf16 copies of the matrices": HALF * (weights.vocabulary + weights.matrices),
        "activations of the layers": stage.micro_batch_tokens * _activations(model, stage.gradient_checkpointing),
        "activations of the head": scored * (5 * HALF * model.hidden + 2 * FLOAT),
        # In float32: their log-softmax, its gradient and theirs.
        "logits of the scored slots": 3 * FLOAT * scored * padded,
        "CUDA context and workspaces": CONTEXT,
    }


def _activations(model: Model, checkpointing: bool) -> int:
    """Bytes that autograd keeps of each token slot, all layers together."""
    hidden, inner = model.hidden, model.intermediate
    norm = FLOAT * hidden + 2 * FLOAT  # what goes in, mean and deviation
    # What Wqkv takes and gives, the turned queries and keys, what attention gives and its log-sum-exp.
    attention = HALF * (hidden + 3 * hidden + 2 * hidden + hidden) + FLOAT * model.heads
    # What Wi takes and gives, the GELU of one half, its product with the other.
    feed_forward = HALF * (hidden + 2 * inner + inner + inner)
    a_layer = 2 * norm + attention + feed_forward
    # With checkpointing each layer's input, and all of the one layer that is being computed again.
    layers = model.layers * FLOAT * hidden + a_layer if checkpointing else model.layers * a_layer
    cosines = 4 * FLOAT * hidden // model.heads  # and sines, for both kinds of layer
    return layers + norm + cosines
