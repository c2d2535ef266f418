"""A training split → nine tenths to train on and a tenth to select by.

The rule: the two parts share no sentence and no article, and depend only on the examples and the seed.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from anaume.errors import UserError
from anaume.evals.jglue.tasks import JglueTask
from anaume.finetune.examples import Example

HELD_OUT = 0.1


def hold_out(task: JglueTask, examples: Sequence[Example], seed: int) -> dict[str, tuple[Example, ...]]:
    """Split examples into "train" and "held_out", which is a tenth of them, equal for every model.

    Pairs that share a sentence stay together, because JNLI has most of its pairs in both directions and JSTS has many
    sentences in several pairs. Questions on one article stay together too. Questions may
    share choices, because many have the same ones.

    Raises:
        UserError: nothing would be left to train on.
    """
    keys = [_binding_texts(task, example) for example in examples]
    held = draw_part(keys, HELD_OUT, seed)
    if all(held):
        raise UserError(
            f"{task.name}: {len(examples)} examples: too few to hold out a tenth (groups without a common text:"
            f" {len({*_connected_groups(keys)})}); expected more, or --protocol paper"
        )
    return divide(examples, held, "held_out")


def divide(examples: Sequence[Example], drawn: Sequence[bool], name: str) -> dict[str, tuple[Example, ...]]:
    """Split examples into "train" and those that are drawn, called `name`."""
    pairs = list(zip(examples, drawn, strict=True))
    return {
        part: tuple(example for example, is_drawn in pairs if is_drawn is side)
        for part, side in (("train", False), (name, True))
    }


def draw_part(keys: Sequence[Sequence[str]], share: float, seed: int) -> list[bool]:
    """Draw at least `share` of the members, so that no key is on both sides; return for each whether it is drawn."""
    groups = _connected_groups(keys)
    sizes = Counter(groups)
    names = list(sizes)
    order = [names[i] for i in np.random.default_rng((seed, len(keys))).permutation(len(names))]
    enough = np.searchsorted(np.cumsum([sizes[name] for name in order]), share * len(keys))
    drawn = set(order[: int(enough) + 1])
    return [group in drawn for group in groups]


def _binding_texts(task: JglueTask, example: Example) -> tuple[str, ...]:
    """Return the texts of an example that no example on the other side may have."""
    if task.kind == "span":
        return (example.group,)
    return example.texts[:1] if task.kind == "choice" else example.texts


def _connected_groups(keys: Sequence[Sequence[str]]) -> list[int]:
    """Number the connected components of a graph in which two members with a common key are neighbours (union-find)."""
    parents = list(range(len(keys)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    first_with: dict[str, int] = {}
    for i, own_keys in enumerate(keys):
        for key in own_keys:
            parents[root(i)] = root(first_with.setdefault(key, i))
    return [root(i) for i in range(len(keys))]
