import base64
import gzip
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs
from anaume.report.page import write_report
from anaume.report.section import Page
from anaume.report.sections import PAGE

Write = Callable[..., None]
EVIL = "<script>alert('x')</script> & [MASK]。"  # a question of the synthetic run


class Reader(HTMLParser):
    """Collects what a browser would load and run, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: dict[str, str] = {}
        self.ids: list[str] = []
        self.text = ""
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.addresses += [values[name] for name in ("src", "href", "srcset", "action", "data") if name in values]
        if "id" in values:
            self.ids.append(values["id"])
        self._script = values.get("id", "main") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        else:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None


def report(*paths: Path) -> tuple[Reader, str, Path]:
    out = paths[0].parent / "out"
    index = write_report(paths, out)
    assert index == out / "index.html"
    text = index.read_text(encoding="utf-8")
    return Reader(text), text, out


@pytest.fixture(scope="module")
def whole(whole_run: Path) -> tuple[Reader, str, Path]:
    """The report of the run that no test changes."""
    return report(whole_run)


def words(reader: Reader) -> str:
    return re.sub(r"\s+", " ", reader.text)


def test_the_numbers_land_in_all_three_forms_of_a_table(whole: tuple[Reader, str, Path]) -> None:
    _, page, out = whole
    markdown = (out / "tables" / "retrieval.md").read_text(encoding="utf-8")
    assert "| long, step 20 | **0.850** | **0.375** | 400 |" in markdown
    assert "| Jaccard | 0.031 | 0.020 | 400 |" in markdown
    assert "step 9" not in markdown  # step 9 is no milestone; it stands in the dynamics
    tex = (out / "tables" / "retrieval.tex").read_text(encoding="utf-8")
    assert r"long, step 20 & \textbf{0.850} & \textbf{0.375} & 400 \\" in tex
    assert '<td class="num"><strong>0.850</strong></td>' in page
    assert '<td lang="ja"><strong>東京</strong> <small>0.500</small></td>' in page
    assert "Validation loss</dt><dd>8.750<small>9.375 at step 0" in page
    dynamics = (out / "tables" / "dynamics.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[:2] for line in dynamics[4:]] == [
        ["| short", "0"], ["| short", "9"], ["| short", "40"], ["| long", "20"]
    ]  # fmt: skip
    assert dynamics[-1] == "| long | 20 | 20,000 | 8.750 | 0.750 | 0.740 | 0.760 | 0.750 | 0.850 | 0.375 |"
    by_length = (out / "tables" / "loss-by-length.md").read_text(encoding="utf-8")
    assert "| Model | (0, 128\\] | (128, 1024\\] |" in by_length
    assert "| long, step 20 | 8.250 | 7.250 |" in by_length
    assert (
        "by the length of the pieces in tokens. A piece is a document cut to the number of a model's positions."
        in by_length
    )
    validation = (out / "tables" / "validation.md").read_text(encoding="utf-8")
    assert "| Model | Loss | Accuracy | n |" in validation
    assert "| short, step 0 | 9.375 | 0.125 | 412 |" in validation
    assert "| long, step 20 | 8.750 | 0.750 | 412 |" in validation  # none is bold: the loss depends on the tokenizer


def test_content_is_text_and_never_markup(run: Path) -> None:
    for name in ("recipe.toml", "metrics.jsonl"):
        text = (run / name).read_text(encoding="utf-8").replace('"long"', '"</script><i>x"')
        (run / name).write_text(text, encoding="utf-8")
    reader, page, _ = report(run)
    assert EVIL in reader.text
    assert "<script>alert" not in page
    assert "Xeon <8481C>" in reader.text
    assert '"</script><i>x"' in reader.text  # in the recipe
    assert "<i>" not in page
    assert set(reader.scripts) == {"charts", "plotly", "main"}
    stages = [border[0] for border in json.loads(reader.scripts["charts"])[0]["borders"]]
    assert "</script><i>x" in stages
    assert "<" not in reader.scripts["charts"]  # "<!--" and "<script" would change how the rest is read


def test_the_page_needs_no_network(whole: tuple[Reader, str, Path]) -> None:
    reader, page, out = whole
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page
    own = {address for address in reader.addresses if not address.startswith(("#", "data:"))}
    assert own
    assert all((out / address).is_file() for address in own), own
    assert {address[1:] for address in reader.addresses if address.startswith("#")} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))


def test_the_page_holds_every_table_as_csv(whole: tuple[Reader, str, Path]) -> None:
    reader, _, out = whole
    prefix = "data:text/csv;base64,"
    files = sorted((out / "tables").glob("*.csv"))
    held = [base64.b64decode(a.removeprefix(prefix)) for a in reader.addresses if a.startswith(prefix)]
    assert sorted(held) == sorted(file.read_bytes() for file in files)
    assert {file.stem for file in files} == {file.stem for file in (out / "tables").glob("*.md")}
    lines = (out / "tables" / "dynamics.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[-1] == "long,20,20000,8.750,0.750,0.740,0.760,0.750,0.850,0.375"


def test_plotly_is_in_the_page_once(whole: tuple[Reader, str, Path]) -> None:
    reader, page, _ = whole
    assert page.count('id="plotly"') == 1
    code = gzip.decompress(base64.b64decode(reader.scripts["plotly"])).decode()
    assert "plotly.js v" in code[:200]
    charts = json.loads(reader.scripts["charts"])
    steps = ["loss", "accuracy", "retrieval", "cloze", "learning-rate", "gradient-norm", "speed", "padding"]
    assert [chart["id"] for chart in charts] == [*steps, "by-length"]
    for chart in charts:
        assert f"chart-{chart['id']}" in reader.ids
    loss = charts[0]["lines"][0]
    assert (loss["x"][0], loss["y"][0], loss["x"][40], loss["y"][40]) == (1, 8.9, None, None)


def test_a_long_run_makes_no_large_page(make_run: Callable[..., Path]) -> None:
    line = {"kind": "train", "stage": "short"}
    lines = [line | {"step": step, "loss": 75 if step == 12_345 else 5} for step in range(30_000)]
    reader, _, _ = report(make_run(lines=lines))
    assert "Of 30,000 logged steps, a curve shows at most 2,000" in reader.text
    raw = json.loads(reader.scripts["charts"])[0]["lines"][0]
    assert len(raw["x"]) <= 2000
    assert (raw["x"][0], raw["x"][-1]) == (0, 29_999)
    assert raw["y"][raw["x"].index(12_345)] == 75
    assert len(reader.scripts["charts"]) < 500_000


def test_a_short_run_is_not_said_to_be_thinned(whole: tuple[Reader, str, Path]) -> None:
    assert "a curve shows at most" not in whole[0].text


def test_an_interrupted_run_says_what_is_missing(make_run: Callable[..., Path]) -> None:
    line = {"kind": "train", "stage": "short", "step": 1, "loss": 9.5}
    run = make_run(evals=False, lines=[line], tail='{"kind": "tra')
    (run / "manifest.json").unlink()
    reader, _, out = report(run)
    text = words(reader)
    for title in ("Fill-mask", "Retrieval", "Dynamics", "Validation"):
        assert f"{title} not evaluated" in text
    for title in ("Data", "Environment"):
        assert f"{title} not recorded" in text
    assert "Recall@10–not evaluated" in text
    assert {path.stem for path in (out / "tables").iterdir()} == {"stages"}
    assert (out / "figures" / "figure-1-training.png").is_file()


def test_a_run_with_only_a_recipe_still_reports(make_run: Callable[..., Path]) -> None:
    run = make_run(evals=False)
    (run / "metrics.jsonl").unlink()
    reader, _, out = report(run)
    assert "Training no curves recorded" in words(reader)
    assert "plotly" not in reader.scripts
    assert not (out / "figures").exists()


def test_the_recipe_the_data_and_the_environment_are_shown(whole: tuple[Reader, str, Path]) -> None:
    reader, page, out = whole
    assert 'name = "箱庭"' in reader.text
    assert "| Learning rate | 5e-4 | 5e-5 |" in (out / "tables" / "stages.md").read_text(encoding="utf-8")
    assert "| Packing | – | yes |" in (out / "tables" / "stages.md").read_text(encoding="utf-8")
    data = (out / "tables" / "data.md").read_text(encoding="utf-8")
    assert "| train | 21,480 | 9,312,044 |" in data
    assert "| validation | 412 | – |" in data  # a missing cell is shown as missing
    assert '<td class="num missing">–</td>' in page
    environment = (out / "tables" / "environment.md").read_text(encoding="utf-8")
    assert "| Torch | 2.13.0 |" in environment


def test_evaluations_of_several_folders_stand_side_by_side(run: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    save_record(Record("tohoku-nlp/bert", "retrieval", {"recall_at_10": 0.74, "mrr_at_10": 1}, 400, {}, 0), others)
    save_record(Record("tohoku-nlp/bert", "jglue", {"jsts_pearson": 0.92}, 1457, {}, 0), others)
    save_record(Record("ruri", "jglue", {"jnli_accuracy": 0.5}, 2434, {}, 0), others)
    reader, _, out = report(run, others)
    retrieval = (out / "tables" / "retrieval.md").read_text(encoding="utf-8").splitlines()
    names = [line.split(" | ")[0][2:] for line in retrieval[4:]]
    assert names[:3] == ["箱庭: short, step 0", "箱庭: short, step 40", "箱庭: long, step 20"]
    assert names[3:] == ["tohoku-nlp/bert", "Edit distance", "Jaccard"]
    assert "| tohoku-nlp/bert | 0.740 | **1.000** | 400 |" in retrieval
    jglue = (out / "tables" / "jglue.md").read_text(encoding="utf-8")
    assert jglue.startswith("Task: jglue.")
    assert "| ruri | 0.500 | – | 2,434 |" in jglue
    assert "| tohoku-nlp/bert | – | 0.920 | 1,457 |" in jglue
    assert "箱庭. Training dynamics" in reader.text


def test_a_folder_of_records_alone_has_no_place_for_curves(tmp_path: Path) -> None:
    details = [{"text": "[MASK]", "answers": ["東京"], "predictions": [{"text": "東京", "probability": 1.0}]}]
    for name in ("a", "b"):
        save_record(Record(name, "fill-mask", {"accuracy_at_1": 0.5}, 1, {}, 0, details=details), tmp_path / "evals")
    reader, _, out = report(tmp_path / "evals")
    assert "Evaluation records of 2 models" in reader.text
    assert "Retrieval not evaluated" in words(reader)
    assert "training" not in reader.ids
    names = {path.name for path in (out / "tables").glob("*.md")}
    assert names == {"overview.md", "fill-mask.md", "fill-mask-first.md", "fill-mask-top5-a.md", "fill-mask-top5-b.md"}


def test_two_runs_have_their_own_figures_and_charts(make_run: Callable[..., Path]) -> None:
    reader, _, out = report(make_run("one"), make_run("two"))
    assert {path.name for path in (out / "figures").glob("*.svg")} == {
        "figure-1-training-1.svg", "figure-1-training-2.svg", "figure-runs-compared.svg"
    }  # fmt: skip
    charts = json.loads(reader.scripts["charts"])
    assert {chart["zoom"] for chart in charts} == {"tokens", "steps-1", "steps-2", "by-length"}
    assert len(reader.ids) == len(set(reader.ids))


@pytest.fixture
def paper(run: Path, fine_tuned: Write, by_length: Write, placed: Write, summarized: Write) -> Path:
    """The run with all the paper's evaluations."""
    for stage, step in (("short", 40), ("long", 20)):
        model, place = f"{stage}-step-{step:07d}", {"stage": stage, "step": step, "tokens": 1}
        fine_tuned(run / "evals", model, "jnli", {"accuracy": step / 100, "accuracy_std": 0.01})
        by_length(run / "evals", model, step, checkpoint=place)
        placed(run / "evals", model, step / 100, -step, checkpoint=place)
    histogram = [{"low": 0, "high": 128, "documents": 90}, {"low": 128, "high": None, "documents": 10}]
    summarized(run, {"length_histogram": histogram})
    line = {"kind": "train", "stage": "long", "step": 21, "loss": 3, "source_tokens": [5], "length_tokens": [5]}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    return run


def test_each_of_the_papers_evaluations_has_its_section(paper: Path) -> None:
    reader, page, out = report(paper)
    ids = ["jglue", "pseudo-perplexity", "alignment", "similarities", "documents", "read"]
    assert set(ids) <= set(reader.ids)
    assert [name for name in reader.ids if name in ids] == ids
    names = {path.stem for path in (out / "tables").glob("*.tex")}
    assert names >= {
        "jglue", "pseudo-perplexity", "alignment-uniformity", "similarities", "document-lengths", "sources-read",
        "lengths-read",
    }  # fmt: skip
    charts = {chart["id"]: chart for chart in json.loads(reader.scripts["charts"])}
    assert all(f"chart-{name}" in reader.ids for name in charts)
    assert charts["similarities-1"]["zoom"] == charts["similarities-2"]["zoom"]
    assert [line["y"] for line in charts["document-lengths"]["lines"]] == [[90], [10]]
    dots, line = charts["pseudo-perplexity"]["lines"][1], charts["pseudo-perplexity"]["lines"][3]
    assert (dots["x"], dots["y"]) == ([100, 300, 1200, 2000], [40, 80, 100, 120])
    assert (line["name"], line["y"]) == ("End of long", [55, 110])
    assert [line["labels"] for line in charts["alignment-uniformity"]["lines"]] == [[], ["40"], ["20"]]
    assert "| long, step 20 | 20.0 ± 1.0 |" in (out / "tables" / "jglue.md").read_text(encoding="utf-8")
    for figure in ("2-pseudo-perplexity", "3-alignment-uniformity", "4-similarities", "5-lengths"):
        assert page.count(f'href="figures/figure-{figure}.svg"') == 1
    own = {address for address in reader.addresses if not address.startswith(("#", "data:"))}
    assert all((out / address).is_file() for address in own)


def test_a_missing_task_leaves_its_section_out(paper: Path) -> None:
    def ids() -> set[str]:
        return {section.id for section, _ in Page(read_inputs([paper]), PAGE).contents()}

    for task, section in (("jnli", "jglue"), ("pseudo-perplexity", "pseudo-perplexity"), ("geometry", "alignment")):
        assert section in ids()
        for record in paper.glob(f"evals/*/{task}.json"):
            record.unlink()
        assert section not in ids()
        assert {"fill-mask", "retrieval", "documents"} <= ids()
    assert "similarities" not in ids()
    (paper / "tokens" / "train" / "summary.json").unlink()
    assert "documents" not in ids()


def test_a_run_without_these_records_has_none_of_the_sections(whole: tuple[Reader, str, Path]) -> None:
    absent = {"jglue", "pseudo-perplexity", "alignment", "similarities", "documents", "read", "other"}
    assert not absent & set(whole[0].ids)
    assert not {f"#{section}" for section in absent} & set(whole[0].addresses)


def test_a_caution_stands_out_on_the_page(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("<b>", 1)):
        save_record(Record(name, "validation", {"loss": 2.0}, 1, {}, seed), tmp_path / "evals")
    _, page, out = report(tmp_path / "evals")
    caution = "Not measured alike, so no value is marked as best. Seed: 1 for &lt;b&gt;; 0 for a."
    assert f'<span class="caution">{caution}</span>' in page
    assert caution in (out / "tables" / "validation.md").read_text(encoding="utf-8")


def test_model_names_in_legends_and_charts_are_text(tmp_path: Path, by_length: Write, placed: Write) -> None:
    for name in ('<u>"x"', "b"):
        by_length(tmp_path / "evals", name, 1)
        placed(tmp_path / "evals", name, 0.5, -1)
    reader, page, _ = report(tmp_path / "evals")
    assert '<u>"x"' in reader.text
    assert "<u>" not in page
    assert "<" not in reader.scripts["charts"]


def test_bad_input_writes_nothing(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run directory nor evaluation records"):
        write_report([run, tmp_path / "absent"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="is a file; expected a folder"):
        write_report([run], run / "recipe.toml")


def test_a_model_whose_name_is_not_unicode_has_a_page(tmp_path: Path) -> None:
    """A folder's name need not be UTF-8, nor that of a damaged file that is named on the page."""
    records = tmp_path / "evals"
    save_record(Record("model \udcff", "validation", {"loss": 1.0}, 1, {"texts": "\udc80"}, 0), records)
    (records / "damaged").mkdir()
    (records / "damaged" / "\udcfe.json").write_text("{", encoding="utf-8")
    page = write_report([records], tmp_path / "report").read_text(encoding="utf-8")
    assert r"model \udcff" in page
    assert r"\udcfe.json" in page
