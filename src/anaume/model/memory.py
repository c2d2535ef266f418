"""The memory of training by part, on a GPU or on a processor, computed from the shapes alone.

The rule: each part is the memory that a training step holds when the backward pass begins, which is the peak. Tests
compare the parts with the tensors that autograd keeps. Fragmentation of the allocator is not counted.
"""

from dataclasses import dataclass

from anaume.batches.masking import Masking
from anaume.batches.next_token import NextToken
from anaume.recipe import Model, Stage

# The vocabulary matrix is padded to a multiple of this number of rows for faster products; export removes the padding.
VOCABULARY_MULTIPLE = 64
# Allowance for CUDA's context, cuBLAS and the allocator; between 0.5 and 1 GiB was observed.
CONTEXT = 1 << 30
# Python with torch and transformers on a processor: 391 MiB were measured on Linux.
LIBRARIES = 400 << 20
# On a processor: rows of logits that are held at a time (cross_entropy.py), and queries in a block of local attention,
# which attends to as many keys and a window more (attention.py).
LOGIT_ROWS, LOCAL_BLOCK = 512, 128
FLOAT, HALF = 4, 2


@dataclass(frozen=True)
class Parameters:
    """Numbers of weights in the vocabulary's matrix (tied to the decoder), the other matrices and the vectors."""

    vocabulary: int
    matrices: int
    vectors: int

    @property
    def total(self) -> int:
        """Number of all weights."""
        return self.vocabulary + self.matrices + self.vectors


def parameters(model: Model, vocab_size: int) -> Parameters:
    """Numbers of weights of a recipe's model."""
    hidden = model.hidden
    per_layer = 4 * hidden**2 + 3 * hidden * model.intermediate
    # Each layer has two norms, but layer 0 lacks the attention norm; the embeddings, the last layer and the head have
    # one each. The only bias is the decoder's.
    norms = 2 * model.layers + 2
    return Parameters(vocab_size * hidden, model.layers * per_layer + hidden**2, norms * hidden + vocab_size)


def scored_slots(stage: Stage, slots: int) -> int:
    """Number of scored slots of a row of `slots` slots; constant over a stage."""
    if stage.objective == "causal":
        return NextToken(stage.causal_targets).slots(slots)
    return Masking(stage.mask_rate, stage.final_mask_rate or stage.mask_rate).slots(slots)


def memory(model: Model, vocab_size: int, stage: Stage, product: int = HALF, *, on_cpu: bool = False) -> dict[str, int]:
    """Bytes by part on each GPU or on a processor, with float32 weights and one micro-batch at a time.

    `product` is the bytes of a number in matrix products: `HALF` in bf16, `FLOAT` in float32.

    With several GPUs and several micro-batches per step, add `gradients` a second time: the sum over the first
    micro-batches lies beside the buckets that are sent.
    """
    padded = -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    weights = parameters(model, padded)
    rest = weights.total - weights.matrices
    moments = {
        "adamw": ("AdamW's two moments", 2 * FLOAT * weights.total),
        "muon": ("Muon's momentum, AdamW's moments", FLOAT * weights.matrices + 2 * FLOAT * rest),
    }
    scored = scored_slots(stage, stage.micro_batch_tokens)
    parts = {
        "weights": FLOAT * weights.total,
        "gradients": FLOAT * weights.total,
        moments[stage.optimizer][0]: moments[stage.optimizer][1],
        "bf16 copies of the matrices": HALF * (weights.vocabulary + weights.matrices) if product == HALF else 0,
        "activations of the layers": stage.micro_batch_tokens
        * _activations(model, stage.gradient_checkpointing, product, on_cpu),
        "activations of the head": scored * (5 * product * model.hidden + 2 * FLOAT),
    }
    if on_cpu:
        # The forward pass computes the logits by tiles, and with them the gradient of the vocabulary's matrix.
        parts["logits of 512 slots at a time"] = product * min(LOGIT_ROWS, scored) * padded
        parts["gradient of the logits' matrix"] = FLOAT * weights.vocabulary
        parts["Python and its libraries"] = LIBRARIES
    else:
        # Three float32 copies: the log-softmax, its gradient, and the gradient of the logits.
        parts["logits of the scored slots"] = 3 * FLOAT * scored * padded
        parts["CUDA context and workspaces"] = CONTEXT
    return {name: size for name, size in parts.items() if size}


def _activations(model: Model, checkpointing: bool, product: int, on_cpu: bool) -> int:
    """Bytes that autograd keeps per token slot, over all layers."""
    hidden, inner = model.hidden, model.intermediate
    norm = FLOAT * hidden + 2 * FLOAT  # input, mean and deviation
    # Input and output of Wqkv, the rotated queries and keys, the output of attention and its log-sum-exp.
    attention = product * (hidden + 3 * hidden + 2 * hidden + hidden) + FLOAT * model.heads
    if on_cpu and product == HALF:  # local layers keep their probabilities
        local = 1 - len(range(0, model.layers, model.global_every)) / model.layers
        attention += int(local * product * model.heads * (LOCAL_BLOCK + model.window))
    # Input and output of Wi, the GELU of one half, and its product with the other half.
    feed_forward = product * (hidden + 2 * inner + inner + inner)
    per_layer = 2 * norm + attention + feed_forward
    # Checkpointing keeps the input of each layer, and everything of the one layer that is being recomputed.
    layers = model.layers * FLOAT * hidden + per_layer if checkpointing else model.layers * per_layer
    rope = 4 * FLOAT * hidden // model.heads  # cosines and sines, for both kinds of layer
    return layers + norm + rope
