"""A checkpoint → a folder that `transformers` and `sentence-transformers` open."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import ModernBertForMaskedLM
from transformers.utils import logging

from anaume import __version__
from anaume.errors import UserError
from anaume.files import folder_atomic, write_json
from anaume.model import mlm
from anaume.recipe import Recipe, Stage
from anaume.run import STATE, CheckpointName, Run
from anaume.tokenizer.load import load_tokenizer

# What marks a folder as an export of ours, which another may replace.
MARK = "anaume.json"
# Files that this project keeps beside a tokenizer and that other readers have no use for.
_PRIVATE = {"origin.json"}


def export(run: Run, name: CheckpointName, out: Path, average: int = 1) -> Path:
    """Write one checkpoint of a run as a Hugging Face folder to `out`.

    The folder holds the model, the tokenizer and the mean-pooling modules of sentence-transformers. With `average`
    above 1 the weights are the mean of so many of the stage's checkpoints, this one the last (Izmailov and others,
    arXiv 1803.05407).

    Raises:
        UserError: the run has no such checkpoint, or too few before it; `out` holds something that is no export.
    """
    if name not in run.checkpoints():
        accepted = ", ".join(known.model for known in run.checkpoints()) or "none yet"
        raise UserError(f"{run.folder}: no checkpoint {name.model}; accepted: {accepted}")
    of_stage = [known for known in run.checkpoints() if known.stage == name.stage and known.step <= name.step]
    if len(of_stage) < average:
        raise UserError(f"--average {average}: {name.model} and the checkpoints before it are {len(of_stage)}")
    _check_out(out)
    recipe = run.recipe()
    stage = next(stage for stage in recipe.stage if stage.name == name.stage)
    network = _network(run, of_stage[-average:], recipe, stage)
    logging.disable_progress_bar()  # one shard is written: a bar that jumps from 0 to 1
    with folder_atomic(out) as temporary:
        network.save_pretrained(temporary)
        _change(temporary / "config.json", _older_spelling(recipe, network))
        for file in run.tokenizer.iterdir():
            if file.name not in _PRIVATE:
                shutil.copy(file, temporary / file.name)
        _change(temporary / "tokenizer_config.json", {"model_max_length": recipe.model.positions})
        _write_sentence_modules(temporary, recipe.model.hidden, recipe.model.positions)
        write_json(
            temporary / MARK,
            {
                "run": recipe.name,
                "stage": name.stage,
                "step": name.step,
                "average": average,
                "weights": _checksum_of(run, name),
                "anaume": __version__,
            },
        )
    return out


def is_export_of(out: Path, run: Run, name: CheckpointName) -> bool:
    """Whether `out` is the export of this one checkpoint as it is now, and not of weights that were there before."""
    if not (out / MARK).is_file():
        return False
    mark = json.loads((out / MARK).read_text(encoding="utf-8"))
    wanted = {"stage": name.stage, "step": name.step, "average": 1, "weights": _checksum_of(run, name)}
    return all(mark.get(key) == value for key, value in wanted.items())


def _checksum_of(run: Run, name: CheckpointName) -> str:
    state = json.loads((run.checkpoint(name) / STATE).read_text(encoding="utf-8"))
    return str(state["sha256"][mlm.WEIGHTS])


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; --out accepts a new folder, an empty one or an earlier export")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UserError(f"{out}: not empty and not an earlier export (it has no {MARK}); give another --out")


def select_checkpoint(run: Run, stage: str = "", step: int = -1) -> CheckpointName:
    """The checkpoint that `--stage` and `--step` name; by default the last of the last stage that has any.

    Raises:
        UserError: there is none.
    """
    fitting = [
        name for name in run.checkpoints() if (not stage or name.stage == stage) and (step < 0 or name.step == step)
    ]
    if not fitting:
        accepted = ", ".join(name.model for name in run.checkpoints()) or "none yet"
        raise UserError(f"{run.folder}: no checkpoint for stage {stage or 'any'}, step {step}; accepted: {accepted}")
    return fitting[-1]


def _network(run: Run, names: Sequence[CheckpointName], recipe: Recipe, stage: Stage) -> ModernBertForMaskedLM:
    """The mean of the checkpoints' weights, with the padding rows of the vocabulary cut off."""
    loaded = load_tokenizer(run.tokenizer)
    network = mlm.build(recipe.model, loaded, recipe.seed, kept=run.network_file)
    mlm.load_weights(network, [run.checkpoint(name) / mlm.WEIGHTS for name in names])
    mlm.resize_vocabulary(network, loaded.vocab_size)
    mlm.set_rope_theta(network, stage.rope_theta, stage.local_rope_theta)
    network.config.rope_parameters = network.model.rotary_emb.config.rope_parameters
    network.config._attn_implementation = "sdpa"
    network.config.architectures = ["ModernBertForMaskedLM"]
    return network


def _older_spelling(recipe: Recipe, network: ModernBertForMaskedLM) -> dict[str, Any]:
    """transformers 4 reads theta, window and layer pattern under other names, and would take its own defaults."""
    rope: Any = network.config.rope_parameters
    return {
        "global_rope_theta": rope["full_attention"]["rope_theta"],
        "local_rope_theta": rope["sliding_attention"]["rope_theta"],
        "global_attn_every_n_layers": recipe.model.global_every,
        "local_attention": recipe.model.window,
    }


def _change(file: Path, values: dict[str, Any]) -> None:
    write_json(file, json.loads(file.read_text(encoding="utf-8")) | values)


def _write_sentence_modules(folder: Path, hidden: int, positions: int) -> None:
    """Mean pooling over all tokens, as the paper's evaluations do it (section 4.3)."""
    write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": positions, "do_lower_case": False})
    (folder / "1_Pooling").mkdir()
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
    )
