"""The run directory: one folder that holds a run from its recipe to its report. Every path in it is made here.

recipe.toml  manifest.json  network.json  tokenizer/  tokens/<split>/  metrics.jsonl  tasks/  tensorboard/
checkpoints/<stage>/step-0001000/  export/<stage>-step-0001000/  evals/<model>/<task>.json  report/index.html
"""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anaume import __version__
from anaume.checkpoints import read_state
from anaume.errors import UserError
from anaume.files import LockedError, path_lock, write_atomic, write_json
from anaume.files.objects import read_object
from anaume.recipe import Recipe, differences, file_fingerprint, fingerprint, first_difference, load, to_toml


@dataclass(frozen=True)
class CheckpointName:
    """A checkpoint of a run: a stage, and the number of its optimizer steps before the checkpoint."""

    stage: str
    step: int

    @property
    def model(self) -> str:
        """The name under which this checkpoint is exported and evaluated."""
        return f"{self.stage}-{self.folder}"

    @property
    def folder(self) -> str:
        """The name of its folder inside the folder of the stage."""
        return f"step-{self.step:07d}"


@dataclass(frozen=True)
class Run:
    """The paths in the run directory `folder`. Properties only name a path; the file or folder may be absent."""

    folder: Path

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe, every default written out. A folder with this file is a run."""
        return self.folder / "recipe.toml"

    @property
    def manifest_file(self) -> Path:
        """Versions, machine, data and number of parameters of the run."""
        return self.folder / "manifest.json"

    @property
    def network_file(self) -> Path:
        """The configuration with which the network was built."""
        return self.folder / "network.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON object a line, in the order of training."""
        return self.folder / "metrics.jsonl"

    @property
    def exists(self) -> bool:
        """Whether the folder is a run. An export holds the recipe of its run, too, beside a model's config.json."""
        return self.recipe_file.is_file() and not (self.folder / "config.json").exists()

    @property
    def main_files(self) -> tuple[Path, ...]:
        """The files that mark a run: the report reads a folder that has at least one of them."""
        return self.recipe_file, self.manifest_file, self.metrics_file

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, as a Hugging Face folder."""
        return self.folder / "tokenizer"

    @property
    def checkpoints_folder(self) -> Path:
        """The checkpoints, one folder for each stage."""
        return self.folder / "checkpoints"

    @property
    def tasks(self) -> Path:
        """Retrieval pairs and cloze questions of the built-in corpus, where the run reads it."""
        return self.folder / "tasks"

    @property
    def tensorboard(self) -> Path:
        """The event files of the tracker TensorBoard."""
        return self.folder / "tensorboard"

    @property
    def evals(self) -> Path:
        """Evaluation records, one folder for each model."""
        return self.folder / "evals"

    @property
    def report(self) -> Path:
        """The page, figures and tables."""
        return self.folder / "report"

    @property
    def report_page(self) -> Path:
        """The page of the report."""
        return self.report / "index.html"

    def tokens(self, split: str) -> Path:
        """The token stores of the "train" or "validation" corpus."""
        return self.folder / "tokens" / split

    def tokens_summary(self, split: str) -> Path:
        """The counts and lengths of the "train" or "validation" corpus."""
        return self.tokens(split) / "summary.json"

    def checkpoint(self, name: CheckpointName) -> Path:
        """The folder of one checkpoint."""
        return self.checkpoints_folder / name.stage / name.folder

    def export(self, name: CheckpointName) -> Path:
        """The Hugging Face folder made from one checkpoint."""
        return self.folder / "export" / name.model

    def recipe(self) -> Recipe:
        """The recipe that made this run.

        Raises:
            UserError: the folder is not a run, or the file was changed since the run wrote it.
        """
        if not self.recipe_file.is_file():
            raise UserError(f"{self.folder}: not a run directory; expected a folder that `anaume pretrain` made")
        recipe = load(self.recipe_file)
        if self.manifest_file.exists():  # a kill in the first moments of a run leaves none
            self.require_own_recipe(self.manifest())
        return recipe

    def require_own_recipe(self, manifest: Mapping[str, Any]) -> None:
        """Check that the recipe is one that the run wrote, whose hashes are in its manifest.

        Raises:
            UserError: the file was changed.
        """
        hashes = {change.get("recipe_hash") for change in manifest.get("changes", [])} | {manifest["recipe_hash"]}
        if file_fingerprint(self.recipe_file) not in hashes:
            raise UserError(
                f"{self.recipe_file}: changed since the run wrote it; expected changes by `anaume pretrain RECIPE"
                " --run` or --set"
            )

    def manifest(self) -> dict[str, Any]:
        """The manifest, with the keys that a resumed run needs.

        Raises:
            UserError: the file is damaged.
        """
        data = {"train": {"most_tokens": int}}
        form = {"created": str, "recipe_hash": str, "data": data, "environment": dict}
        manifest = read_object(self.manifest_file, "a manifest", form)
        read_object(self.manifest_file, "a manifest", {"changes": list}, required=False)
        return manifest

    def tokens_seen(self, name: CheckpointName) -> int:
        """Number of real tokens, padding excluded, that training had read at a checkpoint."""
        return int(read_state(self.checkpoint(name))["tokens"])

    def checkpoints(self) -> list[CheckpointName]:
        """All complete checkpoints, in the order in which training made them."""
        names = []
        for stage in self.recipe().stage:
            # A glob would take a folder that cannot be read for an empty one.
            folders = _folder_entries(self.checkpoints_folder / stage.name)
            steps = [folder.removeprefix("step-") for folder in folders if folder.startswith("step-")]
            names += [CheckpointName(stage.name, step) for step in sorted(int(s) for s in steps if s.isdecimal())]
        return names


def _folder_entries(folder: Path) -> list[str]:
    """The names in a folder; an absent folder has none."""
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{folder}: cannot read it ({error.strerror}); expected a readable folder") from error


def open_run(folder: Path, recipe: Recipe) -> Run:
    """The run that `recipe` begins or continues in `folder`, which is absent, empty, or a run that accepts the recipe.

    Raises:
        UserError: the folder holds something else, or a run whose recipe differs in a key that a run may not change.
    """
    run = Run(folder)
    if run.recipe_file.is_file():
        before, checkpoints = run.recipe().published(), run.checkpoints()
        stages = [stage.name for stage in before.stage]
        stages_begun = stages.index(checkpoints[-1].stage) + 1 if checkpoints else 0
        if difference := first_difference(before, recipe.published(), stages_begun):
            raise UserError(f"{folder}: {difference}, or a new folder for --run")
    elif folder.exists() and (not folder.is_dir() or any(_foreign_files(folder))):
        raise UserError(f"{folder}: neither empty nor a run directory; expected a new folder for --run")
    return run


def _foreign_files(folder: Path) -> list[Path]:
    """The entries of a folder, except those that an interrupted preparation of a run leaves behind."""
    return [path for path in folder.iterdir() if path.name not in ("tokenizer", "tokens") and path.name[0] != "."]


@contextmanager
def training_lock(run: Run) -> Iterator[None]:
    """Keep other processes from training in this folder, on all machines that share it.

    Raises:
        UserError: another process trains in it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(path_lock(run.folder / "training", wait="for the dead"))
        except LockedError:
            raise UserError(
                f"{run.folder}: another process is training in it; expected a free folder for --run"
            ) from None
        yield


def record_start(run: Run, recipe: Recipe, manifest: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Write the recipe and the manifest of a new run, or record what has changed in a run that is resumed.

    Returns the changes as key → (before, now): keys of the recipe, and those of the manifest's `environment`, such as
    "environment.threads". Another environment may round sums differently.

    Called once the data is ready, so that a mistake in the data leaves no run. A new run's recipe is written before its
    manifest: after a kill in between, the folder is a run whose manifest is written by the next start. A resumed run's
    changes are written to the manifest (`changes`) before the recipe, so that a kill loses none of them.
    """
    recipe = recipe.published()
    now, recipe_hash = datetime.now(UTC).isoformat(timespec="seconds"), fingerprint(recipe)
    if not run.manifest_file.is_file():
        write_atomic(run.recipe_file, to_toml(recipe))
        facts = {"name": recipe.name, "created": now, "anaume": __version__, "recipe_hash": recipe_hash}
        write_json(run.manifest_file, facts | manifest)
        return {}
    facts = run.manifest()
    changed = differences(run.recipe(), recipe) | _new_environment(facts, manifest.get("environment", {}))
    if changed:
        last = [name.model for name in run.checkpoints()][-1:]
        entry = {
            "when": now,
            "after": "".join(last),
            "anaume": __version__,
            "recipe_hash": recipe_hash,
            "keys": changed,
        }
        write_json(run.manifest_file, facts | {"changes": [*facts.get("changes", []), entry]})
        write_atomic(run.recipe_file, to_toml(recipe))
    return changed


def _new_environment(facts: dict[str, Any], environment: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between the environment in which a run was trained last, by its manifest, and the present one."""
    last = {f"environment.{key}": value for key, value in facts.get("environment", {}).items()}
    for change in facts.get("changes", []):
        last |= {key: pair[1] for key, pair in change["keys"].items() if key.startswith("environment.")}
    now = {f"environment.{key}": value for key, value in environment.items()}
    return {key: (last[key], value) for key, value in now.items() if key in last and last[key] != value}


def tokens_are_verified(run: Run) -> bool:
    """Whether the training tokens were read whole and found unchanged since the run began."""
    return bool(run.manifest().get("tokens_verified"))


def tell_tokens_verified(run: Run) -> None:
    """Record in the manifest that the training tokens were read whole and found unchanged."""
    write_json(run.manifest_file, run.manifest() | {"tokens_verified": True})


def run_id(run: Run) -> str:
    """A name of 16 hexadecimal digits that no other run has and that a resumed run keeps, for tracking services."""
    facts = run.manifest()
    return sha256(f"{facts['created']} {facts['recipe_hash']}".encode()).hexdigest()[:16]


def describe_environment(device: str, threads: int) -> dict[str, Any]:
    """The machine and the versions of the libraries, for the manifest and the report."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "tokenizers", "sentencepiece", "numpy")},
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "device": device,
        "threads": threads,
    }


def _cpu_name() -> str:
    """The model name of the processor; `platform.processor()` is empty on most Linux systems."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
