"""The options of `anaume bench` change the recipe."""

from anaume.bench.recipe import DOCUMENTS, select_recipe


def test_options_change_the_recipe() -> None:
    recipe = select_recipe(None, ["stage.0.mask_rate=0.2"], "builtin:hakoniwa", "some/folder", "", 16_384, 3, 192)
    model, stage = recipe.model, recipe.stage[0]
    assert (model.layers, model.hidden, model.heads, model.intermediate) == (3, 192, 3, 288)
    assert (stage.length, stage.micro_batch_tokens, stage.batch_tokens) == (16_384, 16_384, 16_384)
    assert stage.mask_rate == 0.2
    assert recipe.tokenizer.adapt == "some/folder"
    assert recipe.corpus.train[0].max_documents == DOCUMENTS
