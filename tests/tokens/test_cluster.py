"""Slurm and Ray make the store that one machine makes; a failure is reported in one line."""

import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from anaume.corpus.source import Source
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.build import build

NEEDS_DATATROVE = pytest.mark.skipif(not find_spec("datatrove"), reason="needs the extra cluster")
NEEDS_RAY = pytest.mark.skipif(not (find_spec("datatrove") and find_spec("ray")), reason="needs the extra cluster")

# Stand-ins for Slurm's commands. sbatch runs the tasks of the script at once, side by side, and records its options. It
# refuses a job that depends on a job that was not submitted before.
SBATCH = """#!{python}
import json, os, re, subprocess, sys
from pathlib import Path
from typing import Any

jobs = Path(__file__).parent / "jobs"
jobs.mkdir(exist_ok=True)
*options, script = sys.argv[1:]
text = Path(script).read_text()
depends = [number for option in options if "dependency" in option for number in re.findall(r"\\d+", option)]
if not all((jobs / number).exists() for number in depends):
    sys.exit("no such job")
begin, end = map(int, re.search(r"--array=(\\d+)-(\\d+)", text).groups())
offset = next(option for option in options if "RUN_OFFSET" in option).rpartition("=")[2]
tasks = [
    subprocess.Popen(
        ["bash", script],
        env=os.environ | {{"SLURM_ARRAY_TASK_ID": str(i), "RUN_OFFSET": offset, "SLURM_NODELIST": "here"}},
        stdout=(jobs / f"output-{{os.getpid()}}-{{i}}").open("wb"), stderr=subprocess.STDOUT,
    )
    for i in range(begin, end + 1)
]
states = [task.wait() for task in tasks]
number = str(len(list(jobs.glob("[0-9]*"))) + 1)
lines = dict(re.findall(r"#SBATCH --([\\w-]+)=(.*)", text))
(jobs / number).write_text(json.dumps({{"lines": lines, "options": options, "states": states}}))
print("Submitted batch job", number)
"""
SRUN = '#!/bin/bash\nwhile [ "$1" != launch_pickled_pipeline ]; do shift; done\nexec "$@"\n'
SCONTROL = "#!/bin/bash\necho here\n"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Three files, the last of them unreadable."""
    (tmp_path / "corpus").mkdir()
    for name, text in (("a", "東京都の人口"), ("b", "京都府の面積と歴史")):
        (tmp_path / "corpus" / f"{name}.jsonl").write_text((json.dumps({"text": text}) + "\n") * 50)
    (tmp_path / "corpus" / "c.jsonl").write_text("oops\n")
    return tmp_path / "corpus"


def repair(parts: Path, trained: Tokenizer, out: Path) -> dict[str, bytes]:
    """Make the third file readable; return the files of the store that one process makes of all three."""
    (parts / "c.jsonl").write_text(json.dumps({"text": "沖縄県"}) + "\n")
    build([Source.model_validate({"path": "corpus/*.jsonl"})], trained, out)
    return stores(out)


def stores(out: Path) -> dict[str, bytes]:
    files = (path for path in sorted(out.glob("source-*/**/*")) if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture
def anaume_tokens(
    command_line: Callable[..., Any], parts: Path, trained: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Any]:
    """Run `anaume tokens` on the three files, with more options and their parent as the working directory."""
    monkeypatch.chdir(parts.parent)
    words = ["tokens", "corpus/*.jsonl", "--tokenizer", trained.folder, "--out", "out"]
    return lambda options: command_line(*words, *options.split())


@pytest.mark.slow
@NEEDS_DATATROVE
def test_slurm(
    anaume_tokens: Callable[[str], Any],
    parts: Path,
    trained: Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, script in {"sbatch": SBATCH.format(python=sys.executable), "srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    options = "--workers 2 --executor slurm --slurm partition=cpu --slurm time=1:00:00 --slurm mem=3G"

    def job(number: int) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((tmp_path / "bin" / "jobs" / str(number)).read_text())
        return record

    submitted = anaume_tokens(options)
    assert submitted.out == "out: 3 parts are submitted to Slurm; job 2 writes the summary\n", submitted.err
    assert job(1)["lines"].items() >= {
        "partition": "cpu", "time": "1:00:00", "mem": "3G", "array": "0-2%2", "cpus-per-task": "1",
    }.items()  # fmt: skip
    assert job(2)["lines"]["array"] == "0-0"
    assert "--dependency=afterany:1" in job(2)["options"]
    assert job(1)["states"] == [0, 0, 1]  # the largest part comes first, the unreadable one is the smallest
    assert job(2)["states"] == [1]
    outputs = [path.read_text() for path in (tmp_path / "bin" / "jobs").glob("output-*")]
    assert any("UserError: corpus/c.jsonl: 1 of 1 lines unreadable" in output for output in outputs)
    assert not (tmp_path / "out" / "summary.json").exists()

    expected = repair(parts, trained, tmp_path / "straight")
    assert anaume_tokens(options).out == "out: 1 parts are submitted to Slurm; job 4 writes the summary\n"
    assert (job(3)["states"], job(4)["states"]) == ([0], [0])
    assert stores(tmp_path / "out") == expected
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["documents"] == 101
    assert "101 documents" in anaume_tokens(options).out  # nothing is left to submit


@pytest.mark.slow
@NEEDS_RAY
def test_ray(anaume_tokens: Callable[[str], Any], parts: Path, trained: Tokenizer, tmp_path: Path) -> None:
    options = "--workers 2 --executor ray"
    failed = anaume_tokens(options)
    assert failed.status == 2
    assert failed.err.splitlines()[-1].startswith("anaume: corpus/c.jsonl: 1 of 1 lines unreadable")
    assert "Traceback" not in failed.err
    assert len(list((tmp_path / "out").glob("source-0/*/header.json"))) == 2

    expected = repair(parts, trained, tmp_path / "straight")
    finished = anaume_tokens(options)
    assert "101 documents" in finished.out, finished.err
    assert stores(tmp_path / "out") == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--executor slurm", "--executor slurm: no partition; expected --slurm partition=NAME"),
        ("--executor slurm --slurm cpu", "--slurm cpu: not KEY=VALUE; expected an option of sbatch"),
        ("--executor slurm --slurm partition=cpu", "--executor slurm: no sbatch here"),
        ("--slurm partition=cpu", "--slurm partition=cpu: given with --executor local; expected --executor slurm"),
        ("--executor sge", "'sge' is not one of 'local', 'slurm', 'ray'"),
    ],
)
def test_mistakes(options: str, message: str, anaume_tokens: Callable[[str], Any], parts: Path) -> None:
    if message.startswith(("--executor slurm", "--slurm cpu")):
        pytest.importorskip("datatrove")
    failed = anaume_tokens(options)
    assert failed.status == 2
    assert message in failed.err
    assert failed.err.count("\n") == 1
    assert len(list(parts.iterdir())) == 3


@pytest.mark.parametrize(
    ("missing", "executor"), [("datatrove.executor", "slurm"), ("datatrove.executor", "ray"), ("ray", "ray")]
)
def test_a_missing_extra_is_one_line(
    missing: str, executor: str, anaume_tokens: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "ray":
        pytest.importorskip("datatrove")
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "anaume.tokens.cluster", raising=False)
    monkeypatch.delattr("anaume.tokens.cluster", raising=False)
    failed = anaume_tokens(f"--executor {executor}")
    assert failed.status == 2
    assert failed.err.startswith("anaume: ")
    assert failed.err.endswith("; pip install 'anaume[cluster]'\n")
    assert failed.err.count("\n") == 1
