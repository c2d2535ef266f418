"""Slurm and Ray make the store that one machine makes, from the same tasks; what fails is told in one line."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from anaume.corpus.source import Source
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.build import build

NEEDS_DATATROVE = pytest.mark.skipif(not find_spec("datatrove"), reason="needs the extra cluster")
NEEDS_RAY = pytest.mark.skipif(not (find_spec("datatrove") and find_spec("ray")), reason="needs the extra cluster")

# Stand-ins for Slurm's commands. sbatch runs the script at once, task after task, and notes what it was given; a job
# that depends on one which was not submitted before is refused.
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
states = [
    subprocess.run(
        ["bash", script],
        env=os.environ | {{"SLURM_ARRAY_TASK_ID": str(i), "RUN_OFFSET": offset, "SLURM_NODELIST": "here"}},
        stdout=(jobs / "output").open("ab"), stderr=subprocess.STDOUT,
    ).returncode
    for i in range(begin, end + 1)
]
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
    """Make the third file readable; the store that one machine makes of all three."""
    (parts / "c.jsonl").write_text(json.dumps({"text": "沖縄県"}) + "\n")
    build([Source.model_validate({"path": "corpus/*.jsonl"})], trained, out)
    return stores(out)


def stores(out: Path) -> dict[str, bytes]:
    files = (path for path in sorted(out.glob("source-*/**/*")) if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def anaume(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anaume", "tokens", "corpus/*.jsonl", *map(str, words)]
    env = os.environ | {"PATH": f"{path}:{os.environ['PATH']}"} if path else None
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


@NEEDS_DATATROVE
def test_slurm(parts: Path, trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {"sbatch": SBATCH.format(python=sys.executable), "srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(content)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    words = ["--tokenizer", trained.folder, "--out", "out", "--workers", "2"]
    slurm = [*words, "--executor", "slurm", "--slurm", "partition=cpu", "--slurm", "time=1:00:00", "--slurm", "mem=3G"]

    def job(number: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((tmp_path / "bin" / "jobs" / str(number)).read_text())
        return found

    submitted = anaume(*slurm, path=tmp_path / "bin")
    assert submitted.stdout == "out: 3 parts are submitted to Slurm; job 2 writes the summary\n", submitted.stderr
    assert job(1)["lines"].items() >= {
        "partition": "cpu", "time": "1:00:00", "mem": "3G", "array": "0-2%2", "cpus-per-task": "1",
    }.items()  # fmt: skip
    assert job(2)["lines"]["array"] == "0-0"
    assert "--dependency=afterany:1" in job(2)["options"]
    assert job(1)["states"] == [0, 0, 1]  # the largest first: the unreadable one is the smallest
    assert job(2)["states"] == [1]
    assert "UserError: corpus/c.jsonl: 1 of 1 lines unreadable" in (tmp_path / "bin/jobs/output").read_text()
    assert not (tmp_path / "out" / "summary.json").exists()

    wanted = repair(parts, trained, tmp_path / "straight")
    assert anaume(*slurm, path=tmp_path / "bin").stdout == (
        "out: 1 parts are submitted to Slurm; job 4 writes the summary\n"
    )
    assert (job(3)["states"], job(4)["states"]) == ([0], [0])
    assert stores(tmp_path / "out") == wanted
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["documents"] == 101
    assert "101 documents" in anaume(*slurm, path=tmp_path / "bin").stdout  # nothing is left to submit


@NEEDS_RAY
def test_ray(parts: Path, trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--tokenizer", trained.folder, "--out", "out", "--workers", "2", "--executor", "ray"]
    failed = anaume(*words)
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith("anaume: corpus/c.jsonl: 1 of 1 lines unreadable")
    assert "Traceback" not in failed.stderr
    assert len(list((tmp_path / "out").glob("source-0/*/header.json"))) == 2

    wanted = repair(parts, trained, tmp_path / "straight")
    done = anaume(*words)
    assert "101 documents" in done.stdout, done.stderr
    assert stores(tmp_path / "out") == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--executor slurm", "--executor slurm: --slurm partition=NAME is missing"),
        ("--executor slurm --slurm cpu", "--slurm cpu: accepted: KEY=VALUE, an option of sbatch's, as partition=cpu"),
        ("--executor slurm --slurm partition=cpu", "--executor slurm: no sbatch here"),
        ("--slurm partition=cpu", "--slurm partition=cpu: given with --executor local; expected --executor slurm"),
        ("--executor sge", "'sge' is not one of 'local', 'slurm', 'ray'"),
    ],
)
def test_mistakes(
    words: str, said: str, parts: Path, trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "slurm: no" in said or "missing" in said or "KEY" in said:
        pytest.importorskip("datatrove")
    monkeypatch.chdir(tmp_path)
    failed = anaume("--tokenizer", trained.folder, "--out", "out", *words.split())
    assert failed.returncode == 2
    assert said in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert len(list(parts.iterdir())) == 3


@pytest.mark.parametrize(("missing", "executor"), [("datatrove", "slurm"), ("datatrove", "ray"), ("ray", "ray")])
def test_a_missing_extra_is_one_line(
    missing: str, executor: str, parts: Path, trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "ray":
        pytest.importorskip("datatrove")
    monkeypatch.chdir(tmp_path)
    words = ["tokens", f"{parts}/*", "--tokenizer", trained.folder, "--out", "out", "--executor", executor]
    code = f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {[*map(str, words)]}; import anaume.__main__"
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("anaume: ")
    assert failed.stderr.endswith("; pip install 'anaume[cluster]'\n")
    assert failed.stderr.count("\n") == 1
