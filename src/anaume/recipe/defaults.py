"""The defaults of a recipe that depend on its other keys, resolved in one place.

A table of TOML → the same table with these keys written out, where it leaves them out. The rule: at the paper's 500,000
steps, length 1,024 and width 768 the results are the paper's numbers (arXiv 2504.15544, Table 1).
"""

from typing import Any

# The paper's first stage.
STEPS, LENGTH, BATCH_TOKENS, MICRO_BATCH_TOKENS, HIDDEN = 500_000, 1024, 3_407_872, 26_624, 768
WARMUP_SHARE = 24_000 / STEPS
# Below this number of token slots a step is hardly faster.
LEAST_BATCH_TOKENS = 8192

# What docs/recipe.md says as the default of these keys.
SENTENCES = {
    "warmup_steps": "4.8 % of `steps`",
    "batch_tokens": "`micro_batch_tokens` times a power of two: 3,407,872 at 500,000 steps, in proportion to fewer",
    "micro_batch_tokens": "the largest multiple of `length` that divides `batch_tokens`, up to 26,624; 8,192 or "
    "more, in proportion to `steps`",
    "validate_every": "a twentieth of `steps`, at most 500",
    "save_every": "a tenth of `steps`, at most 1,000",
    "keep_every": "a tenth of `steps`; 0 where `save_every` is set",
    "heads": "`hidden` / 64",
    "intermediate": "1.5 × `hidden`",
}


def fill_stage(table: dict[str, Any]) -> dict[str, Any]:
    """A `[[stage]]` with its batches and intervals. A table with values that are no positive integers stays as it is.

    The batch grows in proportion to the steps: the largest useful batch grows about with the square root of the number
    of training tokens (arXiv 2410.21676), which is the product of the two.
    """
    length, steps = table.get("length", LENGTH), table.get("steps", STEPS)
    batch, micro_batch = table.get("batch_tokens"), table.get("micro_batch_tokens")
    if not all(value is None or (type(value) is int and value > 0) for value in (length, steps, batch, micro_batch)):
        return table
    share = min(1.0, steps / STEPS)
    if micro_batch is None:
        most = min(MICRO_BATCH_TOKENS, batch or max(LEAST_BATCH_TOKENS, int(BATCH_TOKENS * share)))
        rows = max(1, most // length)
        if batch and batch % length == 0:
            rows = next(n for n in range(rows, 0, -1) if batch // length % n == 0)
        micro_batch = rows * length
    if batch is None:
        micro_batches = max(1, int(BATCH_TOKENS * share) // micro_batch)
        # At the paper's size the number is 128; a power of two can be divided among GPUs.
        batch = micro_batch * (1 << (micro_batches.bit_length() - 1))
    save_every = max(1, min(1000, steps // 10))
    derived = {
        "warmup_steps": round(WARMUP_SHARE * steps),
        "batch_tokens": batch,
        "micro_batch_tokens": micro_batch,
        "validate_every": max(1, min(500, steps // 20)),
        "save_every": save_every,
        "keep_every": 0 if "save_every" in table else steps // 10 // save_every * save_every,
    }
    return derived | table


def fill_model(table: dict[str, Any]) -> dict[str, Any]:
    """A `[model]` in ModernBERT's proportions. A width that is no positive integer stays as it is.

    With `init` the checkpoint brings what the table leaves out.
    """
    if table.get("init"):
        return table
    hidden = table.get("hidden", HIDDEN)
    if type(hidden) is not int or not 2 <= hidden <= 1 << 20:
        return table
    fitting = (heads for heads in range(max(1, hidden // 64), 0, -1) if hidden % (2 * heads) == 0)
    return {"heads": next(fitting, 1), "intermediate": hidden * 3 // 2} | table
