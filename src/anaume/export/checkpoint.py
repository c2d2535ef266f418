"""A checkpoint of a run → a Hugging Face folder that `transformers` and `sentence-transformers` open."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import ModernBertForMaskedLM
from transformers.utils import logging

from anaume.checkpoints import WEIGHTS, require_whole
from anaume.export.older_readers import change_json, older_spelling, write_sentence_modules
from anaume.export.selection import COMMAND, checksum_of, select_average
from anaume.files.names import served_name
from anaume.files.outputs import MARK, output_folder, require_own_folder
from anaume.model import mlm
from anaume.recipe import Recipe, Stage
from anaume.run import CheckpointName, Run
from anaume.tokenizer.load import load_tokenizer

# Files beside a run's tokenizer that only anaume reads.
_PRIVATE_FILES = {"origin.json", MARK}


# Writes further files of a network into the folder that will become an export, and returns facts for its mark.
Addition = Callable[[ModernBertForMaskedLM, Path], Mapping[str, Any]]


def export(run: Run, name: CheckpointName, out: Path, average: int = 1, additions: Sequence[Addition] = ()) -> Path:
    """Write one checkpoint of a run as a Hugging Face folder to `out`, and return `out`.

    The folder holds the model, the tokenizer and the mean-pooling modules of sentence-transformers. With `average`
    above 1 the weights are the mean of the stage's last `average` checkpoints up to this one (Izmailov and others,
    arXiv 1803.05407). `additions` are called in order once the folder is complete.

    Raises:
        UserError: the run has no such checkpoint, or too few before it; `out` holds something else than an export.
    """
    averaged = select_average(run, name, average)
    require_own_folder(out, COMMAND)
    recipe = run.recipe()
    stage = next(stage for stage in recipe.stage if stage.name == name.stage)
    network = _network(run, averaged, recipe, stage)
    logging.disable_progress_bar()  # one file needs no bar
    facts: dict[str, Any] = {
        "run": recipe.name,
        "stage": name.stage,
        "step": name.step,
        "average": average,
        "weights": checksum_of(run, name),
    }
    with output_folder(out, COMMAND, facts) as temporary:
        network.save_pretrained(temporary)
        change_json(temporary / "config.json", older_spelling(network.config))
        for file in run.tokenizer.iterdir():
            if file.name not in _PRIVATE_FILES and not served_name(file.name):
                shutil.copy(file, temporary / file.name)
        change_json(temporary / "tokenizer_config.json", {"model_max_length": recipe.model.positions})
        write_sentence_modules(temporary, recipe.model.hidden, recipe.model.positions)
        for add in additions:
            facts |= add(network, temporary)
    return out


def _network(run: Run, names: Sequence[CheckpointName], recipe: Recipe, stage: Stage) -> ModernBertForMaskedLM:
    """A network with the mean weights of these checkpoints, without the padding rows of the vocabulary."""
    loaded = load_tokenizer(run.tokenizer)
    for name in names:
        require_whole(run.checkpoint(name), [WEIGHTS])
    network = mlm.build(recipe.model, loaded, recipe.seed, kept=run.network_file)
    mlm.load_weights(network, [run.checkpoint(name) / WEIGHTS for name in names])
    mlm.remove_padding(network)
    mlm.set_rope_theta(network, stage.rope_theta, stage.local_rope_theta)
    network.config.rope_parameters = network.model.rotary_emb.config.rope_parameters
    network.config._attn_implementation = "sdpa"
    network.config.architectures = ["ModernBertForMaskedLM"]
    return network
