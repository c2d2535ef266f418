"""The tasks of JGLUE v1.3 and JCoLA v1.0, and their folders as the authors publish them.

A folder of data holds jsts-v1.3/train-v1.3.json and so on, by itself or inside the repositories' own datasets/ (JGLUE)
or data/ (JCoLA). (Kurihara and others, "JGLUE", LREC 2022; Someya and others, "JCoLA", arXiv 2309.12676.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from anaume.errors import UserError
from anaume.finetune.examples import Head, Kind

# Subfolders of the repositories that hold the folders of the tasks.
LAYOUTS = ("", "datasets", "data")
# SHA-256 of the published files: yahoojapan/JGLUE at commit 6f071c0, osekilab/JCoLA at 736d9ee. For a file that is not
# listed (JSQuAD's training split, JCommonsenseQA's test split), `fetch` records the checksum of what it downloads.
PUBLISHED = {
    "jsts-v1.3/train-v1.3.json": "db6bd653270ac9786759920413a48973164d322998f34dd4ae32202af5e66969",
    "jsts-v1.3/valid-v1.3.json": "7c0bdcb381179f01096c635d058853d96da1e1248d23fe3f5c2beed5dc2d9b1a",
    "jsts-v1.3/test-v1.3.json": "b31ff21e07f47d580b7eb90802da45bf6a60e34fec886e28df7a21faf4469089",
    "jnli-v1.3/train-v1.3.json": "c506354d1310807f7300cfa8ad49482c6359a84fe85eea8d5e667d90d338d1c4",
    "jnli-v1.3/valid-v1.3.json": "ca0353efc7c2eebfb6de4e13f16295053c8b1ee65e7b0849190c90426fbc495f",
    "jnli-v1.3/test-v1.3.json": "f40849584d4291ec172dcd869646800cc8c82457cde2260a0f45934eda307792",
    "jcola-v1.0/in_domain_train-v1.0.json": "c665f8a8b371b34c3c8947cde3670637cf0403ac7529ba8bb62370d07f008396",
    "jcola-v1.0/in_domain_valid-v1.0.json": "677fb021886b6829d6a84e8ca9f62808f6bd479fa829439f49eac4f94f23658c",
    "jcola-v1.0/out_of_domain_valid-v1.0.json": "029d60eb01a96ef333ffb247468bc3123f7a31a2668fa83757dd57af3ad50237",
    "jsquad-v1.3/valid-v1.3.json": "fb0a57a35281ff03bbe7f0e878cff5b577985fbe6fcb242e7e8ddb63d1c0ab11",
    "jsquad-v1.3/test-v1.3.json": "0078f3f2e1604a201700c24139e198344fa689e02282fc00adaa31687cce2aff",
    "jcommonsenseqa-v1.3/train-v1.3.json": "9b55fae5ecb3aedd6f8ce5bc09196c3b629864668ec6c18eee4d65c0aa48229e",
    "jcommonsenseqa-v1.3/valid-v1.3.json": "0d8d76f3bfa0d174866939882faccdd01fbc2bcd5a76c43748ba0c40a7b3b8d4",
}


class GridTask(Protocol):
    """What a grid of trainings needs to know of a task."""

    @property
    def name(self) -> str:
        """Name in records."""

    @property
    def metric(self) -> str:
        """Metric that settings are selected by."""

    @property
    def head(self) -> Head:
        """The head that fine-tuning on the task needs."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Further values on which the numbers of a training depend."""

    def trains_on(self, file: str) -> bool:
        """Whether a file of the data holds the training split."""


@dataclass(frozen=True)
class JglueTask:
    """A task and its files.

    `folder`   name of the folder, a glob for MARC-ja, which each user must build in a version of their own
    `metric`   metric that settings are selected by
    `fields`   fields that hold the texts
    `classes`  labels as the files spell them, in the order of their numbers
    `stems`    (split, beginning of its file's name); only `test` may be absent
    """

    name: str
    folder: str
    kind: Kind
    metric: str
    fields: tuple[str, ...] = ()
    classes: tuple[Any, ...] = ()
    stems: tuple[tuple[str, str], ...] = (("train", "train"), ("validation", "valid"), ("test", "test"))

    @property
    def head(self) -> Head:
        """The head that fine-tuning on the task needs."""
        return Head(self.name, self.kind, len(self.classes))

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Nothing but the files and the settings decides the numbers."""
        return {}

    def trains_on(self, file: str) -> bool:
        """Whether a file of the data holds the training split."""
        return Path(file).name.startswith(f"{dict(self.stems)['train']}-")

    def files(self, folder: str) -> dict[str, str]:
        """Return split → name of its file, which ends in the version that the folder's name ends in."""
        return {split: f"{stem}-{folder.rsplit('-', 1)[1]}.json" for split, stem in self.stems}


_PAIR = ("sentence1", "sentence2")
_DOMAINS = (
    ("train", "in_domain_train"),
    ("validation", "in_domain_valid"),
    ("out_of_domain", "out_of_domain_valid"),
)
_CHOICES = tuple(f"choice{i}" for i in range(5))
TASKS = {
    task.name: task
    for task in (
        JglueTask("jsts", "jsts-v1.3", "similarity", "pearson", _PAIR),
        JglueTask("jnli", "jnli-v1.3", "classes", "accuracy", _PAIR, ("contradiction", "entailment", "neutral")),
        JglueTask("jcola", "jcola-v1.0", "classes", "accuracy", ("sentence",), (0, 1), _DOMAINS),
        JglueTask("jsquad", "jsquad-v1.3", "span", "f1"),
        JglueTask(
            "jcommonsenseqa", "jcommonsenseqa-v1.3", "choice", "accuracy", ("question", *_CHOICES), tuple(range(5))
        ),
        JglueTask("marc-ja", "marc_ja-v1.*", "classes", "accuracy", ("sentence",), ("negative", "positive")),
    )
}


def tasks_by_name(names: Sequence[str]) -> list[JglueTask]:
    """Return the named tasks, each once.

    Raises:
        UserError: an unknown name.
    """
    if unknown := [name for name in names if name not in TASKS]:
        raise UserError(f"--tasks: {unknown[0]!r}: unknown; expected some of {', '.join(TASKS)}")
    return [TASKS[name] for name in dict.fromkeys(names)]


def public_tasks() -> list[JglueTask]:
    """Return the tasks that can be downloaded: all but MARC-ja, whose reviews Amazon withdrew."""
    return [task for task in TASKS.values() if task.name != "marc-ja"]


def tasks_in(data: Path) -> list[JglueTask]:
    """Return the tasks whose folders are in `data`.

    Raises:
        UserError: there are none.
    """
    tasks = [task for task in TASKS.values() if find_folder(task, data)]
    if not tasks:
        folders = ", ".join(task.folder for task in TASKS.values())
        raise UserError(f"{data}: no task's folder in it; expected one or more of {folders}")
    return tasks


def find_folder(task: JglueTask, data: Path) -> Path | None:
    """Return the folder of the task's files below `data`, or None. The last version of MARC-ja counts."""
    for layout in LAYOUTS:
        if folders := sorted(path for path in (data / layout).glob(task.folder) if path.is_dir()):
            return folders[-1]
    return None
