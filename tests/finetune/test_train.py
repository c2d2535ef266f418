"""Fine-tuning: packed rows against transformers' padded classes, the optimizer's steps against a plain loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EsmConfig,
    EsmForMaskedLM,
    ModernBertForMaskedLM,
    get_linear_schedule_with_warmup,
)

from anaume.errors import UserError
from anaume.evals.jglue.read import read_task
from anaume.evals.jglue.scores import measure
from anaume.evals.jglue.tasks import TASKS
from anaume.finetune.examples import Example
from anaume.finetune.items import Encoded, Item, Row, encode
from anaume.finetune.network import build_network, logits, use_only
from anaume.finetune.train import Settings, fit, predict, train
from anaume.model.attention import PACKED

CPU = torch.device("cpu")
HEADS: dict[str, Any] = {
    "jsts": AutoModelForSequenceClassification,
    "jnli": AutoModelForSequenceClassification,
    "jcommonsenseqa": AutoModelForMultipleChoice,
    "jsquad": AutoModelForQuestionAnswering,
}
LABELS = {"jsts": 1, "jnli": 3, "jcommonsenseqa": 1, "jsquad": 2}
FOLDERS = ("modernbert_folder", "bert_folder")


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def encoded(folder: Path, task: str, jglue_folder: Path, split: str = "train") -> Encoded:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return encode(tokenizer, TASKS[task].kind, read_task(TASKS[task], jglue_folder).splits[split], 48)


def plain(folder: Path, task: str, **changes: Any) -> Any:
    """transformers' own class, with the head that `build_network` gives for the same seed."""
    torch.manual_seed(3)
    return HEADS[task].from_pretrained(folder, num_labels=LABELS[task], **changes)


def ours(folder: Path, task: str) -> Any:
    torch.manual_seed(3)
    return build_network(str(folder), TASKS[task].head, CPU)


def padded(folder: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """A batch as transformers' own collator makes it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    features: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
    if rows[0].types is not None:
        features["token_type_ids"] = [row.types for row in rows]
    return dict(tokenizer.pad(features, return_tensors="pt"))


def outputs(network: Any, task: str, inputs: dict[str, Any]) -> torch.Tensor:
    """(rows, classes), or for a span (tokens, 2)."""
    if task == "jcommonsenseqa":
        inputs = {name: value.view(-1, 5, value.shape[-1]) for name, value in inputs.items()}
        return network(**inputs).logits.view(-1, 1)  # type: ignore[no-any-return]
    result = network(**inputs)
    if task != "jsquad":
        return result.logits  # type: ignore[no-any-return]
    return torch.stack([result.start_logits, result.end_logits], -1)[inputs["attention_mask"].bool()]


@pytest.mark.parametrize("task", HEADS)
def test_logits_and_gradients_are_those_of_transformers(task: str, folder: Path, jglue_folder: Path) -> None:
    rows = [row for item in encoded(folder, task, jglue_folder).items[:9] for row in item.rows]
    assert len({len(row.ids) for row in rows}) >= 3
    mine, theirs = ours(folder, task).eval(), plain(folder, task).eval()
    assert (mine.config._attn_implementation == PACKED) is (mine.config.model_type == "modernbert")
    got, expected = logits(mine, TASKS[task].kind, rows), outputs(theirs, task, padded(folder, rows))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
    assert expected.detach().std() > 0.05  # equality says something
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(0))
    for result in (got, expected):
        (result * weights).sum().backward()
    for (name, weight), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        if weight.grad is not None:
            scale = 1 + float(other.grad.abs().max())
            torch.testing.assert_close(weight.grad / scale, other.grad / scale, atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_both_poolings(pooling: str, modernbert_folder: Path, jglue_folder: Path, tmp_path: Path) -> None:
    network = ModernBertForMaskedLM.from_pretrained(modernbert_folder)
    network.config.classifier_pooling = pooling  # type: ignore[assignment]
    network.save_pretrained(tmp_path / pooling)
    rows = [item.rows[0] for item in encoded(modernbert_folder, "jnli", jglue_folder).items[:8]]
    with torch.no_grad():
        got = logits(ours(tmp_path / pooling, "jnli").eval(), "classes", rows)
        expected = plain(tmp_path / pooling, "jnli").eval()(**padded(modernbert_folder, rows)).logits
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_attention_with_dropout_is_not_packed(modernbert_folder: Path, tmp_path: Path) -> None:
    network = ModernBertForMaskedLM.from_pretrained(modernbert_folder)
    network.config.attention_dropout = 0.1
    network.save_pretrained(tmp_path / "dropout")
    assert ours(tmp_path / "dropout", "jnli").config._attn_implementation != PACKED


def padded_script(network: Any, task: str, folder: Path, items: Sequence[Item], settings: Settings) -> None:
    """The plain loop: transformers' class and loss on padded batches, its AdamW, schedule and clipping."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.0, foreach=False)
    steps = settings.epochs * -(-len(items) // 32)
    schedule = get_linear_schedule_with_warmup(optimizer, -(-steps // 10) if settings.warmup else 0, steps)
    network.eval()  # no dropout: its random numbers fall elsewhere in a padded batch
    for epoch in range(settings.epochs):
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(items))
        for start in range(0, len(items), 32):
            batch = [items[i] for i in order[start : start + 32]]
            inputs = padded(folder, [row for item in batch for row in item.rows])
            if task == "jsquad":
                starts, ends = torch.tensor([item.target for item in batch]).long().T
                result = network(**inputs)
                hidden = ~inputs["attention_mask"].bool()
                loss = F.cross_entropy(result.start_logits.masked_fill(hidden, -torch.inf), starts) / 2
                loss = loss + F.cross_entropy(result.end_logits.masked_fill(hidden, -torch.inf), ends) / 2
            else:
                labels = torch.tensor([item.target[0] for item in batch], dtype=torch.float64)
                labels = labels if task == "jsts" else labels.long()
                if task == "jcommonsenseqa":
                    inputs = {name: value.view(-1, 5, value.shape[-1]) for name, value in inputs.items()}
                loss = network(**inputs, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            if settings.clip:
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "protocol"), [*((task, {}) for task in HEADS), ("jnli", {"warmup": 0.0, "clip": 0.0})]
)
def test_training_is_that_of_the_padded_script(
    task: str, protocol: dict[str, float], folder: Path, jglue_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches, loss, clipping, schedule, optimizer and the cut vocabulary: the weights after four steps.

    In float64: AdamW makes whole steps of gradients that are nothing but rounding.
    """
    split = encoded(folder, task, jglue_folder)
    split = Encoded(split.examples, split.items[:34], split.windows, 0)
    settings = Settings(1e-3, 2, 5, **protocol)
    mine, theirs = ours(folder, task).double(), plain(folder, task).double()
    before = theirs.get_input_embeddings().weight.detach().clone()
    use_only(mine, [split])
    monkeypatch.setattr(type(mine), "train", lambda self, *_: self)  # no dropout, as in the script
    fit(mine.eval(), TASKS[task].kind, split.items, settings)
    padded_script(theirs, task, folder, split.items, settings)
    used = mine.get_input_embeddings().lookup >= 0
    table = theirs.get_input_embeddings().weight
    assert 0 < int(used.sum()) < len(used)
    assert torch.equal(table[~used], before[~used])
    assert float((table.detach() - before).abs().max()) > 1e-3
    for (name, weight), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight, other[used] if other is table else other, atol=1e-6, rtol=0, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["jsts", "jnli"])
def test_the_same_seed_gives_the_same_numbers(task: str, folder: Path, jglue_folder: Path) -> None:
    """BERT's dropout too."""
    split = encoded(folder, task, jglue_folder)
    splits = {"train": Encoded(split.examples, split.items[:40], [], 0)}

    def run(seed: int) -> list[list[float]]:
        network = train(str(folder), TASKS[task].head, splits, Settings(1e-3, 1, seed), CPU)
        return [logits.tolist() for logits in predict(network, TASKS[task].kind, splits["train"].items[:10])]

    torch.manual_seed(1)
    first = run(0)
    torch.manual_seed(2)  # what was drawn before does not matter, and is not disturbed
    state = torch.get_rng_state()
    assert run(0) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert run(1) != first


@pytest.mark.parametrize("task", HEADS)
def test_predictions_do_not_depend_on_the_batches(
    task: str, folder: Path, jglue_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = encoded(folder, task, jglue_folder, "validation").items[:12]
    network = ours(folder, task)
    whole = predict(network, TASKS[task].kind, items)
    monkeypatch.setattr("anaume.finetune.train.PREDICT_TOKENS", 64)
    for together, apart in zip(whole, predict(network, TASKS[task].kind, items), strict=True):
        np.testing.assert_allclose(together, apart, atol=1e-4)


@pytest.mark.slow
def test_it_learns(modernbert_folder: Path, jglue_folder: Path) -> None:
    """Whether a sentence names Tokyo: 80 examples."""
    splits = {"train": encoded(modernbert_folder, "jcola", jglue_folder)}
    network = train(str(modernbert_folder), TASKS["jcola"].head, splits, Settings(4e-3, 8, 0), CPU)
    metrics = measure(TASKS["jcola"], splits["train"], predict(network, "classes", splits["train"].items))
    assert metrics["accuracy"] > 0.95
    assert metrics["mcc"] > 0.9


def test_rows_are_the_tokenizers_own_with_truncation(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = [
        ("東京は首都である。", "京都は古都である。" * 9),
        ("大阪", "奈良"),
        ("札幌は温泉である。" * 9, "神戸は港町である。" * 9),
    ]
    rows = encode(tokenizer, TASKS["jnli"].kind, tuple(Example(pair) for pair in pairs), 40)
    expected = tokenizer(*map(list, zip(*pairs, strict=True)), truncation=True, max_length=40)
    assert [item.rows[0].ids for item in rows.items] == expected["input_ids"]
    assert [item.rows[0].types for item in rows.items] == expected.get("token_type_ids", [None] * 3)
    assert (expected.get("token_type_ids") is None) is ("modernbert" in folder.name)
    assert rows.truncated == 2
    question = (Example(("首都は", "東京", "京都", "大阪", "奈良", "札幌"), 2.0),)
    (item,) = encode(tokenizer, TASKS["jcommonsenseqa"].kind, question, 40).items
    assert [row.ids for row in item.rows] == tokenizer(["首都は"] * 5, list(question[0].texts[1:]))["input_ids"]
    assert item.target == (2.0,)


def test_perfect_logits_give_perfect_metrics(modernbert_folder: Path, jglue_folder: Path) -> None:
    for name, task in TASKS.items():
        split = encoded(modernbert_folder, name, jglue_folder, "validation")
        perfect = []
        for item in split.items:
            if task.kind == "span":
                outputs_of_item = np.zeros((len(item.rows[0].ids), 2), np.float32)
                outputs_of_item[[int(t) for t in item.target], [0, 1]] = 1
            elif task.kind == "similarity":
                outputs_of_item = np.array(item.target, np.float32)
            else:
                outputs_of_item = np.eye(5, dtype=np.float32)[int(item.target[0])]
            perfect.append(outputs_of_item)
        assert all(value == pytest.approx(1, abs=1e-6) for value in measure(task, split, perfect).values()), name


def test_a_model_without_such_a_head(tmp_path: Path) -> None:
    config = EsmConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    config.pad_token_id = 1
    EsmForMaskedLM(config).save_pretrained(tmp_path / "esm")
    with pytest.raises(UserError, match="esm: fine-tuning on jcommonsenseqa: can't be opened") as error:
        build_network(str(tmp_path / "esm"), TASKS["jcommonsenseqa"].head, CPU)
    assert "\n" not in str(error.value)
