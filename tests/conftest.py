"""What several tests need: the real data, a small made-up corpus, a tokenizer of each kind, a tiny run."""

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from anaume import recipe
from anaume.corpus import hakoniwa
from anaume.corpus.source import Source
from anaume.recipe import Recipe
from anaume.run import Run
from anaume.tokenizer.adapt import adapt_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.train import train_tokenizer

# Before a folder's own conftest imports it, which comes first when pytest is called with that folder.
pytest.register_assert_rewrite("tests.support.models")
# Started in the background of a shell, the tests would ignore Ctrl-C, and so would the commands that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests multiply tiny matrices: a second thread would only wait for the first. Read by torch, which isn't loaded yet.
os.environ["OMP_NUM_THREADS"] = "1"
# A name that is no folder is looked up in the Hub's cache alone: a test neither waits for a network nor depends on one.
os.environ["HF_HUB_OFFLINE"] = "1"

RECIPE = """
name = "tiny"
seed = 7
[[corpus.train]]
path = "{folder}/train.jsonl"
[[corpus.validation]]
path = "{folder}/validation.jsonl"
[tokenizer]
load = "{folder}/tokenizer"
[model]
layers = 3
hidden = 32
heads = 2
intermediate = 48
positions = 256
window = 16
[[stage]]
name = "first"
length = 64
steps = 6
batch_tokens = 512
micro_batch_tokens = 256
learning_rate = 1e-2
warmup_steps = 2
validation_tokens = 512
validate_every = 3
save_every = 2
log_every = 1
[[stage]]
name = "second"
length = 256
steps = 4
batch_tokens = 512
micro_batch_tokens = 256
learning_rate = 1e-3
warmup_steps = 1
rope_theta = 20000.0
optimizer = "muon"
validation_tokens = 512
validate_every = 2
save_every = 2
log_every = 1
"""

PLACES = ["東京都", "大阪府", "北海道", "京都府", "沖縄県", "青森県", "長野県", "高知県", "佐賀県", "富山県"]
NAMES = [
    "".join(random.Random(i).choices("アイウエオカキクケコサシスセソタチツテトナニヌネノ", k=2 + i % 4))
    for i in range(300)
]
THINGS = ["人口", "面積", "歴史", "文化", "気候", "産業", "県庁所在地", "名物", "山地", "河川", "祭り", "鉄道"]
VERBS = ["について述べる", "は広く知られている", "を調べた", "が変わった", "は大きい", "の記録がある"]


def sentence(chance: random.Random) -> str:
    """One of many sentences, some with digits, spaces and Latin letters."""
    year = chance.randrange(1600, 2026)
    return (
        f"{year}年、{chance.choice(PLACES)}{chance.choice(NAMES)}の{chance.choice(THINGS)}{chance.choice(VERBS)}。"
        + chance.choice(["", "\n", " and so on ", "（注）", "　", f"{chance.random():.3f} km"])
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures of models, whose imports take seconds, but not in xdist's controller, which runs no tests."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.support.models")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need a trained run as slow."""
    for item in items:
        if "straight" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped, and why."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1
    if reasons:
        parts = [f"{count} × {reason}" for reason, count in reasons.most_common()]
        terminalreporter.write_line(f"{reasons.total()} skipped: {'; '.join(parts)}")


@dataclass(frozen=True)
class Finished:
    """A command that has ended: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Run the command line in this process: `command_line("export", run, "--out", folder)`."""
    from anaume import cli

    def run(*words: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["anaume", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return Finished(int(stop.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora and of the paper's tokenizer; the test is skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real corpora and the paper's tokenizer in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Two files of 40 documents in all."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in "ab":
        chance = random.Random(name)
        texts = ["".join(sentence(chance) for _ in range(chance.randrange(1, 80))) for _ in range(20)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return Source.model_validate({"path": str(folder / "*.jsonl")})


@pytest.fixture(scope="session")
def trained(corpus: Source, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A tokenizer of 560 pieces."""
    folder = tmp_path_factory.mktemp("trained") / "tokenizer"
    train_tokenizer([corpus], 560, folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="session")
def paper(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The paper's tokenizer: LLM-jp's, adapted from its SentencePiece model."""
    folder = tmp_path_factory.mktemp("paper") / "tokenizer"
    adapt_tokenizer(str(shared_data / "tokenizer" / "llm-jp-tokenizer-100k.ver3.0b1.model"), folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Two stages of a few steps on a little of the built-in corpus, in files; seconds, not minutes."""
    folder = tmp_path_factory.mktemp("tiny")
    hakoniwa.write_corpus(folder, megabytes=0.15, seed=1)
    train_tokenizer([Source(path=str(folder / "train.jsonl"))], 1200, folder / "tokenizer")
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), encoding="utf-8")
    return recipe.load(folder / "recipe.toml")


@pytest.fixture(scope="session")
def straight(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny recipe, trained without a stop. Tests read it, none writes to it."""
    from anaume.pretrain.loop import pretrain

    return pretrain(tiny, tmp_path_factory.mktemp("runs") / "straight")
