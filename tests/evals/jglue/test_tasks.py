"""The table of tasks: tasks by name, tasks in a folder."""

from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.jglue.read import read_task
from anaume.evals.jglue.tasks import TASKS, tasks_in


def test_tasks_in_a_folder(jglue_folder: Path, tmp_path: Path) -> None:
    assert [task.name for task in tasks_in(jglue_folder)] == list(TASKS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"jsts: no such task; expected a folder jsts-v1.3 .--fetch"):
        read_task(TASKS["jsts"], tmp_path / "empty")
    with pytest.raises(UserError, match=r"no task's folder in it; expected one or more of jsts-v1.3, jnli-v1.3"):
        tasks_in(tmp_path / "empty")


def change(path: Path, row: int, **fields: Any) -> None:
    """Write new fields into a row of JSON lines; a field given as None is taken out."""
    rows = rows_of(path)
    rows[row] = {key: value for key, value in {**rows[row], **fields}.items() if value is not None}
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows), encoding="utf-8")


def test_every_task_is_read_as_written(jglue_folder: Path) -> None:
    assert [task.name for task in present(jglue_folder)] == list(TASKS)
    made = {name: read(task, jglue_folder).splits for name, task in TASKS.items()}
    sizes = {name: {split: len(examples) for split, examples in splits.items()} for name, splits in made.items()}
    three = {"train": 80, "validation": 30, "test": 30}
    assert sizes["jsts"] == sizes["jnli"] == sizes["jcommonsenseqa"] == three
    assert sizes["jcola"] == {"train": 80, "validation": 30, "out_of_domain": 30}
    assert sizes["jsquad"] == {"train": 160, "validation": 60, "test": 60}
    assert sizes["marc-ja"] == {"train": 80, "validation": 30}

    row = rows_of(jglue_folder / "jsts-v1.3" / "valid-v1.3.json")[3]
    assert made["jsts"]["validation"][3] == Example((row["sentence1"], row["sentence2"]), 0.6)
    assert [example.label for example in made["jnli"]["train"][:4]] == [0, 1, 2, 0]  # in the order of the alphabet
    assert [example.label for example in made["marc-ja"]["train"][:2]] == [0, 1]
    assert made["jcommonsenseqa"]["train"][7].texts[1:] == ("神戸", "福岡", "那覇", "東京", "京都")
    assert made["jcommonsenseqa"]["train"][7].label == 2
    first, second = made["jsquad"]["train"][:2]
    assert first.texts[1] == second.texts[1]
    assert first.answers == (Answer(first.texts[1][:2], 0),)
    assert first.group == second.group != made["jsquad"]["train"][2].group


@pytest.mark.parametrize(("task", "layout"), [("jsts", "datasets"), ("jcola", "data")])
def test_the_repositories_own_layout(task: str, layout: str, jglue_folder: Path) -> None:
    (jglue_folder / layout).mkdir()
    (jglue_folder / TASKS[task].folder).rename(jglue_folder / layout / TASKS[task].folder)
    assert len(read(TASKS[task], jglue_folder).splits["train"]) == 80


@pytest.mark.parametrize(
    ("task", "file", "row", "fields", "said"),
    [
        ("jsts", "train", 4, {"label": 5.2}, ":5: 'label' is 5.2; accepted: a number from 0 to 5"),
        ("jsts", "valid", 0, {"label": "3"}, ":1: 'label' is '3'; accepted: a number from 0 to 5"),
        ("jsts", "valid", 0, {"label": None}, ":1: lacks 'label'"),
        ("jsts", "train", 9, {"sentence2": " "}, ":10: 'sentence2' is ' '; expected a text that is not empty"),
        ("jnli", "train", 2, {"label": "yes"}, ":3: 'label' is 'yes'; accepted: contradiction, entailment, neutral"),
        ("jnli", "train", 2, {"sentence1": None}, ":3: lacks 'sentence1'"),
        ("jcola", "in_domain_valid", 1, {"label": 2}, ":2: 'label' is 2; accepted: 0, 1"),
        ("jcola", "in_domain_valid", 1, {"label": True}, ":2: 'label' is True; accepted: 0, 1"),
        ("jcommonsenseqa", "train", 0, {"label": 5}, ":1: 'label' is 5; accepted: 0, 1, 2, 3, 4"),
        ("jcommonsenseqa", "train", 0, {"choice4": None}, ":1: lacks 'choice4'"),
    ],
)
def test_a_wrong_row(task: str, file: str, row: int, fields: dict[str, Any], said: str, jglue_folder: Path) -> None:
    folder = jglue_folder / TASKS[task].folder
    path = folder / f"{file}-{folder.name.rsplit('-', 1)[1]}.json"
    change(path, row, **fields)
    with pytest.raises(UserError) as error:
        read(TASKS[task], jglue_folder)
    assert str(error.value).startswith(f"{path}{said}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answers": [{"text": "東京", "answer_start": 1}]}, "the context has no '東京' at answer_start 1"),
        ({"answers": [{"text": "東京", "answer_start": -1}]}, "the context has no '東京' at answer_start -1"),
        ({"answers": []}, "no answers, expected one at least"),
        ({"answers": "東京"}, "'answers' must be a list"),
        ({"answers": [{"text": "東京"}]}, "lacks 'answer_start'"),
        ({"question": ""}, "'question' is ''; expected a text that is not empty"),
    ],
)
def test_a_wrong_question(changes: dict[str, Any], said: str, jglue_folder: Path) -> None:
    path = jglue_folder / "jsquad-v1.3" / "valid-v1.3.json"
    question = {"question": "首都は", "id": "q7", "answers": [{"text": "東京", "answer_start": 0}], **changes}
    content = {"data": [{"title": "", "paragraphs": [{"context": "東京は首都である。", "qas": [question]}]}]}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="article 0, paragraph 0, question q7: ") as error:
        read(TASKS["jsquad"], jglue_folder)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ('{"data": []}', "no questions"),
        ("[]", "lacks 'data'"),
        ('{"data": [3]}', "lacks 'paragraphs'"),
    ],
)
def test_a_file_of_another_form(content: str, said: str, jglue_folder: Path) -> None:
    (jglue_folder / "jsquad-v1.3" / "train-v1.3.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read(TASKS["jsquad"], jglue_folder)


def test_missing_splits(jglue_folder: Path) -> None:
    (jglue_folder / "jsts-v1.3" / "test-v1.3.json").unlink()
    assert list(read(TASKS["jsts"], jglue_folder).splits) == ["train", "validation"]
    (jglue_folder / "jcola-v1.0" / "out_of_domain_valid-v1.0.json").unlink()
    with pytest.raises(UserError, match=r"out_of_domain_valid-v1.0.json: no such file, so jcola has no out_of_domain"):
        read(TASKS["jcola"], jglue_folder)
    (jglue_folder / "jsquad-v1.3" / "train-v1.3.json").unlink()
    with pytest.raises(UserError, match=r"train-v1.3.json: no such file, so jsquad has no train split; --tasks"):
        read(TASKS["jsquad"], jglue_folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder jsts-v1.3 for jsts; --fetch"):
        read(TASKS["jsts"], tmp_path)
    with pytest.raises(UserError, match=r"no task's folder in it; accepted: jsts-v1.3, jnli-v1.3"):
        present(tmp_path)
    with pytest.raises(UserError, match="task 'jst'; accepted: jsts, jnli, jcola, jsquad, jcommonsenseqa, marc-ja"):
        named(["jsts", "jst"])


def test_a_test_split_without_labels_is_left_out(jglue_folder: Path) -> None:
    path = jglue_folder / "jnli-v1.3" / "test-v1.3.json"
    for row in range(30):
        change(path, row, label=None)
    data = read(TASKS["jnli"], jglue_folder)
    assert "test" not in data.splits
    assert "jnli-v1.3/test-v1.3.json has no labels: not scored" in data.notes


@pytest.mark.parametrize("names", [("sentence1", "sentence2"), ("sentence2", "sentence1")])
def test_a_test_split_that_is_trained_on_is_left_out(names: tuple[str, str], jglue_folder: Path) -> None:
    """One in 30 is too many, in either direction."""
    folder = jglue_folder / "jnli-v1.3"
    change(folder / "test-v1.3.json", 17, sentence1="猫がいる。", sentence2="犬もいる。")
    change(folder / "train-v1.3.json", 50, **dict(zip(names, ("猫がいる。", "犬もいる。"), strict=True)))
    data = read(TASKS["jnli"], jglue_folder)
    assert "test" not in data.splits
    assert "jnli-v1.3/test-v1.3.json is to 3% in the training split: not scored" in data.notes


def test_the_real_files(shared_data: Path) -> None:
    """JNLI's training split there holds its test split."""
    data = {name: read(TASKS[name], shared_data / "jglue") for name in ("jsts", "jnli", "jcola")}
    assert {split: len(examples) for split, examples in data["jsts"].splits.items()} == {
        "train": 12_451,
        "validation": 1_457,
        "test": 1_589,
    }
    assert len(data["jcola"].splits["out_of_domain"]) == 685
    assert data["jsts"].notes == data["jcola"].notes == ()
    assert list(data["jnli"].splits) == ["train", "validation"]
    assert data["jnli"].notes == (
        "jnli-v1.3/train-v1.3.json is not the published file",
        "jnli-v1.3/test-v1.3.json is to 100% in the training split: not scored",
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a local server and the folder that it serves."""
    served = tmp_path / "served"
    served.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", served
        running.shutdown()


@pytest.fixture
def published(server: tuple[str, Path], jglue_folder: Path) -> dict[str, str]:
    """The tasks as their repositories hold them, on the server, and the checksums of two of the files."""
    for task in public():
        place = server[1] / (fetch.JCOLA if task.name == "jcola" else fetch.JGLUE)
        place.mkdir(parents=True, exist_ok=True)
        (jglue_folder / task.folder).rename(place / task.folder)
    known = ("jsts-v1.3/train-v1.3.json", "jnli-v1.3/valid-v1.3.json")
    files = {name: server[1] / fetch.JGLUE / name for name in known}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_fetch(server: tuple[str, Path], published: dict[str, str], tmp_path: Path) -> None:
    (server[1] / fetch.JGLUE / "jnli-v1.3" / "test-v1.3.json").unlink()
    folder = tmp_path / "new"
    fetch.fetch(public(), folder, base=server[0], published=published)
    assert [task.name for task in present(folder)] == [task.name for task in public()]
    assert list(read(TASKS["jnli"], folder).splits) == ["train", "validation"]
    assert len(read(TASKS["jsquad"], folder).splits["train"]) == 160
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert len(sums) == 3 + 2 + 3 + 3 + 3
    for name, found in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == found


def test_fetch_keeps_what_is_there(server: tuple[str, Path], published: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "new" / "jsts-v1.3" / "train-v1.3.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    fetch.fetch([TASKS["jsts"]], tmp_path / "new", base=server[0], published=published)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert (mine.parent / "valid-v1.3.json").exists()


def test_fetch_of_another_file(server: tuple[str, Path], published: dict[str, str], tmp_path: Path) -> None:
    path = server[1] / fetch.JGLUE / "jsts-v1.3" / "train-v1.3.json"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(UserError, match=r"train-v1.3.json: its SHA-256 is [0-9a-f]{64}, that of the published file"):
        fetch.fetch([TASKS["jsts"]], tmp_path / "new", base=server[0], published=published)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_fetched(server: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"jsts-v1.3/train-v1.3.json: can't be fetched .HTTP Error 404"):
        fetch.fetch([TASKS["jsts"]], tmp_path, base=server[0])
    with pytest.raises(UserError, match=r"can't be fetched .*refused"):
        fetch.fetch([TASKS["jsts"]], tmp_path, base="http://127.0.0.1:9")
    with pytest.raises(UserError, match="marc-ja can't be fetched"):
        fetch.fetch([TASKS["marc-ja"]], tmp_path, base=server[0])


def test_real_checksums(shared_data: Path) -> None:
    """But for JNLI's training split, the files there are the published ones."""
    known = [name for name in PUBLISHED if (shared_data / "jglue" / name).exists()]
    assert len(known) == 11
    other = [
        name
        for name in known
        if hashlib.sha256((shared_data / "jglue" / name).read_bytes()).hexdigest() != PUBLISHED[name]
    ]
    assert other == ["jnli-v1.3/train-v1.3.json"]
