"""Contrastive fine-tuning: what is trained on, by hand; what it does to a tiny model's embeddings; mistakes."""

import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from torch.nn.functional import cross_entropy, normalize
from typer.testing import CliRunner

from anaume.cli import app
from anaume.encoder.embed import embed
from anaume.encoder.load import load_encoder
from anaume.errors import UserError
from anaume.evals.inputs.contrast_sets import from_nli, from_sts, read_sets
from anaume.evals.inputs.pairs import read_pairs
from anaume.export.checkpoint import export
from anaume.finetune.contrast.sets import ContrastSettings, TrainingSets
from anaume.finetune.contrast.train import margin, train_embeddings
from anaume.finetune.examples import Example
from anaume.run import Run

from ...support.models import PLACES, THINGS

TRAINING = ContrastSettings(epochs=3, learning_rate=3e-3, batch=16, temperature=0.05, max_length=512, seed=0)
NLI = ("contradiction", "entailment", "neutral")


def about(place: str, seed: int) -> str:
    """A sentence about a place, in one of many wordings."""
    draw = random.Random(f"{place} {seed}")
    return "".join(f"{place}は{thing}である。" for thing in draw.sample(THINGS, draw.randint(1, 3)))


def same_place(number: int, seed: int) -> dict[str, list[str]]:
    places = [PLACES[i % len(PLACES)] for i in range(number)]
    return {
        "anchor": [about(place, 2 * i + seed) for i, place in enumerate(places)],
        "positive": [about(place, 2 * i + 1 + seed) for i, place in enumerate(places)],
    }


def cosines(model: str, left: Sequence[str], right: Sequence[str]) -> torch.Tensor:
    opened = load_encoder(model, masked_lm=False)
    return (normalize(embed(opened, left)) * normalize(embed(opened, right))).sum(1)


def sets(**rows: dict[str, list[Any]]) -> TrainingSets:
    return TrainingSets(rows, {}, ())


def test_entailments_with_the_contradictions_of_their_premise() -> None:
    examples = [
        Example(("海", "水"), 1.0),
        Example(("海", "山"), 0.0),
        Example(("海", "青い"), 1.0),
        Example(("海", "塩"), 1.0),
        Example(("海", "火"), 0.0),
        Example(("森", "木"), 1.0),
        Example(("森", "鳥"), 2.0),
        Example(("空", "地"), 0.0),
    ]
    assert from_nli(examples, NLI) == {
        "nli": {"anchor": ["森"], "positive": ["木"]},
        "nli with contradictions": {
            "anchor": ["海"] * 3,
            "positive": ["水", "青い", "塩"],
            "negative": ["山", "火", "山"],
        },
    }
    with pytest.raises(UserError, match="no example is an entailment"):
        from_nli(examples[-2:], NLI)


def test_similarities_are_scaled() -> None:
    rows = from_sts([Example(("あ", "い"), 3.5), Example(("う", "え"), 0.0)])
    assert rows == {"sts": {"sentence1": ["あ", "う"], "sentence2": ["い", "え"], "score": [0.7, 0.0]}}


@pytest.mark.slow
def test_pairs_draw_near_and_others_apart(modernbert_folder: Path, tmp_path: Path) -> None:
    """Held-out pairs: the paper's alignment (mean squared distance) falls, and cosines of other texts fall too."""
    trained = str(
        train_embeddings(str(modernbert_folder), sets(pairs=same_place(160, seed=0)), tmp_path / "trained", TRAINING)
    )
    held_out = same_place(60, seed=10_000)
    others = held_out["positive"][1:] + held_out["positive"][:1]  # about the next place
    near = [cosines(model, held_out["anchor"], held_out["positive"]) for model in (str(modernbert_folder), trained)]
    far = [cosines(model, held_out["anchor"], others) for model in (str(modernbert_folder), trained)]
    alignment = [(2 - 2 * cosine).mean().item() for cosine in near]
    assert alignment[1] < 0.7 * alignment[0]
    assert far[1].mean() < far[0].mean() - 0.1


@pytest.mark.slow
def test_cosines_rank_as_similarities(modernbert_folder: Path, tmp_path: Path) -> None:
    draw = random.Random(1)
    left = [about(draw.choice(PLACES), i) for i in range(160)]
    right = [about(draw.choice(PLACES), i + 1000) for i in range(160)]
    scores = [(a[:2] == b[:2]) / 2 + (a[3:5] == b[3:5]) / 2 for a, b in zip(left, right, strict=True)]
    scored: dict[str, list[Any]] = {"sentence1": left, "sentence2": right, "score": scores}
    trained = str(train_embeddings(str(modernbert_folder), sets(sts=scored), tmp_path / "trained", TRAINING))
    before, after = (spearmanr(cosines(m, left, right), scores)[0] for m in (str(modernbert_folder), trained))
    assert after > before + 0.1


@pytest.mark.slow
def test_the_folder(modernbert_folder: Path, tmp_path: Path) -> None:
    """It opens in sentence-transformers with the same embeddings; lengths are the model's again; a record is there."""
    rows = same_place(20, seed=0)
    rows["anchor"][0] *= 3
    short = ContrastSettings(1, 1e-3, 8, 0.1, 12, seed=3)
    out = train_embeddings(
        str(modernbert_folder), TrainingSets({"pairs": rows}, {"pairs.jsonl": "00"}, ("odd",)), tmp_path / "out", short
    )
    texts = [*rows["anchor"], "東京は首都である。" * 20]
    expected = SentenceTransformer(str(out), device="cpu").encode(texts, convert_to_tensor=True)
    opened = load_encoder(str(out), masked_lm=False)
    torch.testing.assert_close(embed(opened, texts), expected, atol=1e-5, rtol=1e-4)
    assert opened.max_length == load_encoder(str(modernbert_folder), masked_lm=False).max_length == 48
    record = json.loads((out / "contrastive.json").read_text(encoding="utf-8"))
    lengths = [len(opened.tokenizer(text)["input_ids"]) for column in rows.values() for text in column]
    assert record["truncated"] == sum(length > 12 for length in lengths) > 0
    assert record["training_loss"] > 0
    inputs = {"model": "tiny-modernbert", "rows": {"pairs": 20}, "sha256": {"pairs.jsonl": "00"}, "notes": ["odd"]}
    used = {"epochs": 1, "learning_rate": 1e-3, "batch": 8, "temperature": 0.1, "max_length": 12, "seed": 3}
    assert record == record | inputs | used


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(bert_folder: Path, tmp_path: Path) -> None:
    """BERT, for it has dropout; several sets at once, so that their order counts too."""
    mixed = sets(
        pairs=same_place(30, seed=0),
        sts={"sentence1": THINGS, "sentence2": PLACES, "score": [i / 10 for i in range(10)]},
    )
    weights = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        out = train_embeddings(str(bert_folder), mixed, tmp_path / name, ContrastSettings(1, 1e-3, 8, 0.05, 512, seed))
        weights.append((out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.slow
def test_an_export_keeps_what_older_readers_need(straight: Run, tmp_path: Path) -> None:
    folder = export(straight, straight.checkpoints()[-1], tmp_path / "export")
    out = train_embeddings(
        str(folder), sets(pairs=same_place(8, seed=0)), tmp_path / "out", ContrastSettings(1, 1e-4, 8, 0.05, 64, 0)
    )
    before, after = (json.loads((path / "config.json").read_text(encoding="utf-8")) for path in (folder, out))
    for key in ("global_rope_theta", "local_rope_theta", "global_attn_every_n_layers", "local_attention"):
        assert after[key] == before[key]
    assert after["rope_parameters"] == before["rope_parameters"]


@pytest.mark.slow
def test_prefixes_of_the_embedding_are_trained_too(modernbert_folder: Path, tmp_path: Path) -> None:
    """The loss of held-out pairs by the first 4 of 32 dimensions is lower if these were trained."""
    held_out = same_place(10, seed=10_000)
    losses = {}
    for name, dimensions in (("whole", ()), ("prefix", (4,))):
        training = replace(TRAINING, dimensions=dimensions)
        out = train_embeddings(str(modernbert_folder), sets(pairs=same_place(160, seed=0)), tmp_path / name, training)
        network = SentenceTransformer(str(out), device="cpu", truncate_dim=4)
        anchors, positives = (normalize(network.encode(texts, convert_to_tensor=True)) for texts in held_out.values())
        assert anchors.shape == (10, 4)
        losses[name] = cross_entropy(anchors @ positives.T / TRAINING.temperature, torch.arange(10)).item()
    assert losses["prefix"] < 0.8 * losses["whole"]
    assert json.loads((tmp_path / "prefix" / "contrastive.json").read_text(encoding="utf-8"))["dimensions"] == [4]


@pytest.mark.slow
def test_a_training_of_one_step_learns(modernbert_folder: Path, tmp_path: Path) -> None:
    """A large batch may hold all rows."""
    training = replace(TRAINING, epochs=1, batch=10)
    out = train_embeddings(str(modernbert_folder), sets(pairs=same_place(10, seed=0)), tmp_path / "out", training)
    measured = json.loads((out / "contrastive.json").read_text(encoding="utf-8"))["margin"]
    assert measured["after"] > measured["before"] + 0.01


@pytest.mark.slow
def test_late_interaction(modernbert_folder: Path, tmp_path: Path) -> None:
    """Held-out pairs: MaxSim separates them better after the training, in a folder that the library opens."""
    training = replace(TRAINING, late=True, temperature=1.0, batch=32, micro_batch=8)
    rows = same_place(160, seed=0)
    rows["negative"] = rows["positive"][1:] + rows["positive"][:1]
    out = train_embeddings(str(modernbert_folder), sets(pairs=rows), tmp_path / "late", training)
    record = json.loads((out / "contrastive.json").read_text(encoding="utf-8"))
    assert record["margin"]["of"] == "MaxSim"
    assert record["margin"]["after"] > record["margin"]["before"] + 1
    opened = MultiVectorEncoder(str(out), device="cpu")
    vectors = opened.encode_document(rows["anchor"][:2])
    assert vectors[0].shape[1] == 128
    lengths = vectors[0].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    held_out = same_place(20, seed=10_000)
    assert record["margin"]["after"] == pytest.approx(margin(opened, {"pairs": rows}), rel=1e-3)
    assert margin(opened, {"pairs": held_out}) > 1


@pytest.mark.slow
def test_the_verb_mines_negatives(modernbert_folder: Path, tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out"
    rows = [{"query": f"{place}は首都である。", "positive": f"{place}は都市である。"} for place in PLACES[:6]]
    rows[0]["negative"] = f"{PLACES[9]}は工場である。"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = [str(modernbert_folder), "--pairs", str(pairs), "--mine", "bm25", "--negatives", "2", "--epochs", "1"]
    words += ["--batch", "4", "--micro-batch", "2", "--dimensions", "8,16", "--out", str(out)]
    assert CliRunner().invoke(app, ["contrast", *words]).stdout == f"{out}\n"
    record = json.loads((out / "contrastive.json").read_text(encoding="utf-8"))
    assert record["rows"] == {"pairs with 2 hard negatives": 6}
    assert (record["dimensions"], record["micro_batch"]) == ([8, 16], 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--dimensions 8,x", "--dimensions '8,x': not numbers; expected some such as 64,128"),
        ("--dimensions 8 --late", "--dimensions: given with --late, whose vectors are whole; expected one of them"),
        ("--dimensions 64", "--dimensions 64: the embedding has 32; expected numbers from 1 to 32"),
        ("--dimensions 0", "--dimensions 0: the embedding has 32; expected numbers from 1 to 32"),
    ],
)
def test_mistakes_of_the_command_line(words: str, message: str, modernbert_folder: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"query": f"{place}は首都である。", "positive": f"{place}は都市である。"} for place in PLACES[:4]]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = [str(modernbert_folder), "--pairs", str(pairs), "--out", str(tmp_path / "out"), *words.split()]
    result = CliRunner().invoke(app, ["contrast", *given])
    assert isinstance(result.exception, UserError)
    assert str(result.exception) == message
    assert not (tmp_path / "out").exists()


def test_the_folder_is_checked_before_the_data(tmp_path: Path, modernbert_folder: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    words = ["contrast", str(modernbert_folder), "--pairs", str(tmp_path / "absent"), "--out", str(tmp_path / "out")]
    assert "not empty (it holds mine.txt)" in str(CliRunner().invoke(app, words).exception)


def test_negatives_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows: list[dict[str, Any]] = [{"negative": "x"}, {"negative": ["x", "y"]}, {"negative": None}, {"negative": []}, {}]
    pair = {"query": "q", "positive": "p"}
    file.write_text("".join(json.dumps(pair | row) + "\n" for row in rows), encoding="utf-8")
    read = read_pairs(file, negative_field="negative")
    assert [pair.negatives for pair in read] == [("x",), ("x", "y"), (), (), ()]
    assert all(pair.negatives == () for pair in read_pairs(file))
    for value, message in ((3, r":1: `negative` is a number, not a string"), (["x", " "], r":1: `negative` is ' '")):
        file.write_text(json.dumps(pair | {"negative": value}), encoding="utf-8")
        with pytest.raises(UserError, match=message):
            read_pairs(file, negative_field="negative")


@pytest.mark.slow
def test_the_verb(modernbert_folder: Path, tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out"
    rows = [{"query": f"{place}は首都である。", "positive": f"{place}は都市である。"} for place in PLACES[:4]]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = [str(modernbert_folder), "--pairs", str(pairs), "--epochs", "1", "--batch", "2", "--out", str(out)]
    result = CliRunner().invoke(app, ["contrast", *words])
    assert result.stdout == f"{out}\n"
    assert re.search(r"^loss [\d.]+; margin of the cosines -?[\d.]+ before, -?[\d.]+ after$", result.stderr, re.M)
    record = json.loads((out / "contrastive.json").read_text(encoding="utf-8"))
    used = {"rows": {"pairs": 4}, "epochs": 1, "batch": 2, "learning_rate": 5e-5, "temperature": 0.05, "seed": 0}
    assert record == record | used


def write_jglue(
    folder: Path, task: str, rows: list[dict[str, Any]], splits: Sequence[str] = ("train", "valid")
) -> Path:
    (folder / f"{task}-v1.3").mkdir(parents=True)
    for split in splits:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{task}-v1.3" / f"{split}-v1.3.json").write_text("".join(lines), encoding="utf-8")
    return folder


def test_reading_jglue(shared_data: Path) -> None:
    jglue, file = shared_data / "jglue", shared_data / "retrieval" / "wikipedia_pairs.jsonl"
    read = read_sets(jglue, jglue, read_pairs(file), file)
    counts = {name: {len(column) for column in columns.values()} for name, columns in read.rows.items()}
    assert counts == {"nli": {509}, "nli with contradictions": {1}, "sts": {12451}, "pairs": {210}}
    assert "jsts-v1.3/train-v1.3.json" in read.sha256
    assert "wikipedia_pairs.jsonl" in read.sha256


def test_mistakes(modernbert_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to train on; expected one or more of --nli, --sts, --pairs"):
        read_sets()
    good = {"sentence1": "海", "sentence2": "山", "label": "neutral"}
    for name, row, message in (
        (
            "empty",
            good | {"sentence2": ""},
            r"train-v1\.3\.json:2: `sentence2` is ''; expected a text that is not empty",
        ),
        (
            "label",
            good | {"label": "maybe"},
            r"train-v1\.3\.json:2: `label` is 'maybe'; expected one of contradiction, ent",
        ),
        ("none", good, "no example is an entailment"),
    ):
        with pytest.raises(UserError, match=message):
            read_sets(nli=write_jglue(tmp_path / name, "jnli", [good, row]))
    scored = {"sentence1": "海", "sentence2": "山", "label": 5.1}
    with pytest.raises(UserError, match=r"train-v1\.3\.json:1: `label` is 5\.1; expected a number from 0 to 5"):
        read_sets(sts=write_jglue(tmp_path / "range", "jsts", [scored]))
    with pytest.raises(UserError, match=r"train-v1\.3\.json: no such file"):
        read_sets(sts=write_jglue(tmp_path / "split", "jsts", [scored | {"label": 1.0}], ["valid"]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(UserError, match=r"out: not empty \(it holds mine\.txt\); expected a new folder"):
        train_embeddings(str(modernbert_folder), sets(pairs=same_place(8, seed=0)), tmp_path / "out", TRAINING)
    with pytest.raises(UserError, match="absent: no such folder"):
        train_embeddings(str(tmp_path / "absent"), sets(pairs=same_place(8, seed=0)), tmp_path / "new", TRAINING)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ({"anchor": ["海"] * 3, "positive": ["水", "塩", "青"]}, {}, "pairs: all rows share one anchor"),
        ({"anchor": ["海"], "positive": ["水"]}, {}, "pairs: all rows share one anchor"),
        ({"anchor": ["海", "山"], "positive": ["水"] * 2}, {}, "pairs: all rows share one positive"),
        ({"anchor": PLACES, "positive": THINGS}, {"learning_rate": math.inf}, "--learning-rate inf: not usable"),
        ({"anchor": PLACES, "positive": THINGS}, {"learning_rate": 0.0}, "--learning-rate 0: not usable"),
        ({"anchor": PLACES, "positive": THINGS}, {"temperature": math.nan}, "--temperature nan: not usable"),
        (
            {"sentence1": PLACES, "sentence2": THINGS, "score": [0.5] * 10},
            {"late": True},
            "pairs: scored rows, which late interaction can't learn; expected --nli or --pairs",
        ),
    ],
)
def test_nothing_can_be_learnt(
    rows: dict[str, list[Any]], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        train_embeddings("absent/model", sets(pairs=rows), tmp_path / "out", replace(TRAINING, **changes))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_training_that_diverges_writes_nothing(modernbert_folder: Path, tmp_path: Path) -> None:
    rows = sets(pairs=same_place(20, seed=0))
    with pytest.raises(UserError, match="the training diverged, and nothing was written"):
        train_embeddings(str(modernbert_folder), rows, tmp_path / "out", replace(TRAINING, learning_rate=1e38))
    assert not (tmp_path / "out").exists()


def test_a_disk_without_space_for_the_weights_is_told_before_the_training(
    modernbert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anaume.finetune.contrast import train as module

    monkeypatch.setattr(module, "_fit", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"out: 1,000 bytes free on its disk; expected [\d,]{6,} for the weights"):
        train_embeddings(str(modernbert_folder), sets(pairs=same_place(20, seed=0)), tmp_path / "out", TRAINING)


@pytest.mark.slow
def test_the_folder_is_written_for_older_readers_too(bert_folder: Path, tmp_path: Path) -> None:
    out = train_embeddings(str(bert_folder), sets(pairs=same_place(8, seed=0)), tmp_path / "out", TRAINING)
    read = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in out.glob("*.json")}
    assert read["tokenizer_config.json"]["tokenizer_class"] == "PreTrainedTokenizerFast"
    types = [module["type"] for module in read["modules.json"]]
    assert types == ["sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling"]
    assert read["sentence_bert_config.json"] == {"max_seq_length": 48, "do_lower_case": False}
    pooling = json.loads((out / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    assert pooling["word_embedding_dimension"] == 32
    modes = {key for key, value in pooling.items() if key.startswith("pooling_mode") and value}
    assert modes == {"pooling_mode_mean_tokens"}
