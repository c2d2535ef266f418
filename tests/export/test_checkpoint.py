"""An export opens in transformers and sentence-transformers, and gives the numbers of its checkpoint."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer, ModernBertForMaskedLM, pipeline

from anaume import recipe
from anaume.batches.batch import IGNORE
from anaume.batches.loader import batches
from anaume.checkpoints import WEIGHTS
from anaume.errors import UserError
from anaume.export.checkpoint import export
from anaume.export.selection import is_export_of, select_checkpoint
from anaume.model import mlm
from anaume.pretrain.loop import pretrain
from anaume.pretrain.prepare import prepare
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run
from anaume.tokenizer.load import load_tokenizer
from anaume.verify import verify_folder

TEXT = "岩手県の県庁所在地は盛岡市です。"


@pytest.fixture(scope="module")
def folder(straight: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(straight, select_checkpoint(straight), tmp_path_factory.mktemp("export") / "encoder")


def test_logits_are_the_checkpoints(straight: Run, tiny: Recipe, folder: Path) -> None:
    """Logits of one document: sdpa on the export against the packed path on the checkpoint."""
    data = prepare(tiny, straight)
    network = mlm.build(tiny.model, data.tokenizer, 0)
    mlm.load_weights(network, [straight.checkpoint(select_checkpoint(straight)) / WEIGHTS])
    mlm.set_rope_theta(network, tiny.stage[-1].rope_theta)
    batch, _ = next(batches(data.plan(tiny, tiny.stage[-1], "train")))
    inputs = mlm.to_device(batch, 256, torch.device("cpu"))
    length = int(batch.lengths[0])
    exported = AutoModelForMaskedLM.from_pretrained(folder)
    with torch.inference_mode():
        logits = exported(input_ids=inputs.input_ids[:, :length]).logits[0]
        scored = inputs.scored[(inputs.scored < length) & (inputs.labels != IGNORE)]
        ours = network.decoder(mlm.scored_states(network, inputs))[: len(scored), : logits.shape[-1]]
    assert logits.shape[-1] == data.tokenizer.vocab_size
    torch.testing.assert_close(ours, logits[scored], atol=1e-4, rtol=1e-4)


def test_an_average_is_the_mean_of_the_last_checkpoints(straight: Run, tmp_path: Path) -> None:
    last = select_checkpoint(straight, "first")
    steps = [load_file(straight.checkpoint(CheckpointName("first", step)) / WEIGHTS) for step in (2, 4, 6)]
    exported = load_file(export(straight, last, tmp_path / "mean", average=3) / "model.safetensors")
    name = "model.layers.1.attn.Wqkv.weight"
    torch.testing.assert_close(exported[name], torch.stack([weights[name] for weights in steps]).mean(0))
    assert not torch.equal(steps[0][name], steps[2][name])
    with pytest.raises(UserError, match="--average 5: too few checkpoints up to first-step-0000006; expected at"):
        export(straight, last, tmp_path / "more", average=5)


def test_it_opens_in_fill_mask_and_sentence_transformers(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    auto = AutoTokenizer.from_pretrained(folder)
    guesses = pipeline("fill-mask", model=str(folder))(f"岩手県の県庁所在地は{auto.mask_token}です。")
    assert len(guesses) == 5
    assert all(0 < guess["score"] < 1 for guess in guesses)
    sentences = SentenceTransformer(str(folder), device="cpu")
    encoded = auto(TEXT, return_tensors="pt")
    assert set(encoded) == {"input_ids", "attention_mask"}
    with torch.inference_mode():
        states = AutoModelForMaskedLM.from_pretrained(folder).model(**encoded).last_hidden_state[0]
    torch.testing.assert_close(torch.tensor(sentences.encode(TEXT)), states.mean(0), atol=1e-5, rtol=1e-4)


def test_the_config_suits_transformers_4_and_5(folder: Path, tiny: Recipe) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["rope_parameters"]["full_attention"]["rope_theta"] == 20_000
    assert config["rope_parameters"]["sliding_attention"]["rope_theta"] == 20_000
    assert (config["global_rope_theta"], config["local_rope_theta"]) == (20_000, 20_000)
    assert (config["global_attn_every_n_layers"], config["local_attention"]) == (3, tiny.model.window)
    assert config["architectures"] == ["ModernBertForMaskedLM"]
    assert config["vocab_size"] == load_tokenizer(folder).vocab_size
    assert config["dtype"] == "float32"


@pytest.mark.slow
def test_a_run_resumes_without_the_checkpoint_it_began_from(tiny: Recipe, tmp_path: Path) -> None:
    """The thetas 160,000 and 10,000 are kept, and after the start the run no longer needs `init`."""
    loaded = load_tokenizer(Path(tiny.tokenizer.load))
    torch.manual_seed(3)
    original = ModernBertForMaskedLM(mlm.config(tiny.model, loaded, loaded.vocab_size)).eval()
    with torch.no_grad():  # the attention of an untrained network is too flat to depend on theta
        for layer in original.model.layers:
            layer.attn.Wqkv.weight.mul_(20)
    original.save_pretrained(tmp_path / "init")
    table = tiny.model_dump()
    table["model"]["init"] = str(tmp_path / "init")
    table["stage"] = [{key: table["stage"][0][key] for key in ("name", "length", "batch_tokens", "micro_batch_tokens")}]
    table["stage"][0] |= {"steps": 2, "warmup_steps": 1, "save_every": 1, "validation_tokens": 512}
    continued = recipe.parse(table, "test")
    straight = pretrain(continued, tmp_path / "run")
    ids = torch.arange(300, 400).unsqueeze(0)
    shutil.rmtree(tmp_path / "init")

    first = export(straight, CheckpointName("first", 0), tmp_path / "begun")
    rope = json.loads((first / "config.json").read_text(encoding="utf-8"))
    assert (rope["global_rope_theta"], rope["local_rope_theta"]) == (160_000, 10_000)
    with torch.inference_mode():
        logits = AutoModelForMaskedLM.from_pretrained(first)(input_ids=ids).logits
        torch.testing.assert_close(logits, original(input_ids=ids).logits, atol=1e-5, rtol=1e-4)

    last = straight.checkpoint(CheckpointName("first", 2)) / WEIGHTS
    expected = load_file(last)
    shutil.rmtree(last.parent)
    pretrain(continued, tmp_path / "run")
    assert all(torch.equal(weight, expected[name]) for name, weight in load_file(last).items())


def test_unknown_checkpoints_and_other_folders(straight: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stage third, step any: no such checkpoint; expected first-step-0000000"):
        select_checkpoint(straight, "third")
    with pytest.raises(UserError, match="first-step-0000099: no such checkpoint; expected first-step-0000000"):
        export(straight, CheckpointName("first", 99), tmp_path / "out")
    assert select_checkpoint(straight, "first") == CheckpointName("first", 6)
    assert select_checkpoint(straight, "first", 2) == CheckpointName("first", 2)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(UserError, match="not empty"):
        export(straight, select_checkpoint(straight), tmp_path)
    with pytest.raises(UserError, match="a file; expected a new folder"):
        export(straight, select_checkpoint(straight), tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "important"


def test_damaged_weights_are_not_exported(straight: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(straight.folder, run.folder)
    name = run.checkpoints()[-1]
    flip(run.checkpoint(name) / "model.safetensors")
    with pytest.raises(UserError, match=r"model\.safetensors: its checksum differs from the one in state\.json"):
        export(run, name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_export_is_found_and_written_again(straight: Run, tmp_path: Path) -> None:
    name, out = straight.checkpoints()[-1], tmp_path / "out"
    export(straight, name, out)
    assert is_export_of(out, straight, name)
    whole = (out / "model.safetensors").read_bytes()
    flip(out / "model.safetensors")
    assert not is_export_of(out, straight, name)
    (problem,) = verify_folder(out).problems
    assert problem == f"{out / 'model.safetensors'}: changed since it was written (checksum)"
    export(straight, name, out)
    assert (out / "model.safetensors").read_bytes() == whole


def flip(file: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
