"""The run directory: one folder that holds a run from its recipe to its report.

recipe.toml  manifest.json  network.json  tokenizer/  tokens/  metrics.jsonl
checkpoints/<stage>/step-0001000/  export/<stage>-step-0001000/  evals/<model>/<task>.json  report/index.html
"""

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anaume import __version__, recipe
from anaume.errors import UserError
from anaume.files import write_atomic, write_json
from anaume.recipe import Recipe

# The file of a checkpoint that says where training stood.
STATE = "state.json"


@dataclass(frozen=True)
class CheckpointName:
    """Which checkpoint: a stage and an optimizer step in it."""

    stage: str
    step: int

    @property
    def model(self) -> str:
        """The name under which this checkpoint is exported and evaluated."""
        return f"{self.stage}-{self.folder}"

    @property
    def folder(self) -> str:
        """The folder's name inside the stage's."""
        return f"step-{self.step:07d}"


@dataclass(frozen=True)
class Run:
    """The places in a run directory."""

    folder: Path

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe, every default written out. Its presence makes a folder a run."""
        return self.folder / "recipe.toml"

    @property
    def manifest_file(self) -> Path:
        """What the run was made with: versions, machine, data, parameters."""
        return self.folder / "manifest.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON object a line, in the order of training."""
        return self.folder / "metrics.jsonl"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, as a Hugging Face folder."""
        return self.folder / "tokenizer"

    @property
    def evals(self) -> Path:
        """Evaluation records, one folder a model."""
        return self.folder / "evals"

    @property
    def report(self) -> Path:
        """The page, figures and tables."""
        return self.folder / "report"

    def tokens(self, split: str) -> Path:
        """The token stores of the "train" or "validation" corpus."""
        return self.folder / "tokens" / split

    def checkpoint(self, name: CheckpointName) -> Path:
        """The folder of one checkpoint."""
        return self.folder / "checkpoints" / name.stage / name.folder

    def export(self, name: CheckpointName) -> Path:
        """The Hugging Face folder made from one checkpoint."""
        return self.folder / "export" / name.model

    def recipe(self) -> Recipe:
        """The recipe that made this run.

        Raises:
            UserError: the folder is not a run.
        """
        if not self.recipe_file.is_file():
            raise UserError(f"{self.folder}: not a run directory (no recipe.toml); `anaume pretrain` makes one")
        return recipe.load(self.recipe_file)

    def tokens_seen(self, name: CheckpointName) -> int:
        """Real tokens that training had read at a checkpoint."""
        state = json.loads((self.checkpoint(name) / STATE).read_text(encoding="utf-8"))
        return int(state["tokens"])

    def checkpoints(self) -> list[CheckpointName]:
        """All complete checkpoints, in the order in which training made them."""
        found = []
        for stage in self.recipe().stage:
            # Not by glob: it takes a folder that can't be read for an empty one.
            names = _names_in(self.folder / "checkpoints" / stage.name)
            steps = [name.removeprefix("step-") for name in names if name.startswith("step-")]
            found += [CheckpointName(stage.name, step) for step in sorted(int(s) for s in steps if s.isdecimal())]
        return found


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{folder}: cannot read it ({error.strerror})") from error


def open_run(folder: Path, wanted: Recipe) -> Run:
    """The run in `folder`, new or to be continued.

    Raises:
        UserError: the folder holds something else, or a run of another recipe: see `recipe.first_difference`.
    """
    run = Run(folder)
    if run.recipe_file.is_file():
        before = run.recipe()
        stages, found = [stage.name for stage in before.stage], run.checkpoints()
        begun = stages.index(found[-1].stage) + 1 if found else 0
        difference = recipe.first_difference(before, wanted, begun)
        if difference:
            raise UserError(f"{folder}: {difference}, or a new folder for --run")
    elif folder.exists() and (not folder.is_dir() or any(_foreign(folder))):
        raise UserError(f"{folder}: neither empty nor a run directory; give another --run")
    return run


def _foreign(folder: Path) -> list[Path]:
    """What preparing a run doesn't leave behind."""
    return [path for path in folder.iterdir() if path.name not in ("tokenizer", "tokens") and path.name[0] != "."]


@contextmanager
def training_lock(run: Run) -> Iterator[None]:
    """Keep other processes from training in this folder; the lock goes with the process, however it ends.

    Raises:
        UserError: another process trains in it.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{run.folder}: another process is training in it; wait for it or give another --run"
            ) from None
        yield


def record_start(run: Run, wanted: Recipe, manifest: dict[str, Any]) -> None:
    """Make the folder a run of this recipe. Called once the data is ready, so that a mistake before leaves no run.

    The recipe comes first: with it alone, after a kill in between, the folder is a run whose manifest is still to come.
    In a run that goes on, what the recipe changes (see `open_run`) is first, as an entry of the manifest's `changes`.
    """
    now, hashed = datetime.now(UTC).isoformat(timespec="seconds"), recipe.fingerprint(wanted)
    if not run.manifest_file.is_file():
        write_atomic(run.recipe_file, recipe.to_toml(wanted))
        facts = {"name": wanted.name, "created": now, "anaume": __version__, "recipe_hash": hashed}
        write_json(run.manifest_file, facts | manifest)
    elif changed := recipe.differences(run.recipe(), wanted):
        facts = json.loads(run.manifest_file.read_text(encoding="utf-8"))
        last = [name.model for name in run.checkpoints()][-1:]
        entry = {"when": now, "after": "".join(last), "anaume": __version__, "recipe_hash": hashed, "keys": changed}
        write_json(run.manifest_file, facts | {"changes": [*facts.get("changes", []), entry]})
        write_atomic(run.recipe_file, recipe.to_toml(wanted))


def run_id(run: Run) -> str:
    """A name that no other run has and that stays: for services which keep many runs."""
    facts = json.loads(run.manifest_file.read_text(encoding="utf-8"))
    return sha256(f"{facts['created']} {facts['recipe_hash']}".encode()).hexdigest()[:16]


def describe_environment(device: str, threads: int) -> dict[str, Any]:
    """The machine and the versions that a reader of the report wants to know."""
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
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
