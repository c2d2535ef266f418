"""The name of a trial's file, and the data that a trial reads."""

import shutil
from pathlib import Path

import pytest

from anaume.errors import UserError
from anaume.evals.jglue.tasks import TASKS
from anaume.evals.jglue.trials import Experiment, Trial, encoded_splits, open_experiments, trial_path
from anaume.finetune.train import Settings

SELECTION, WHOLE = Trial(Settings(1e-3, 1, 0), split_seed=0), Trial(Settings(1e-3, 1, 0))


def test_a_selection_is_named_by_the_training_split_alone(modernbert_folder: Path, jglue_folder: Path) -> None:
    """So a test split that is added later leaves it alone."""
    model, task, test = [str(modernbert_folder)], [TASKS["jsts"]], jglue_folder / "jsts-v1.3" / "test-v1.3.json"
    (before,) = open_experiments(model, jglue_folder, task)
    test.unlink()
    (without,) = open_experiments(model, jglue_folder, task)
    paths = {
        trial: [trial_path(experiment, trial, Path()) for experiment in (before, without)]
        for trial in (SELECTION, WHOLE)
    }
    assert paths[SELECTION][0].parent == Path("tiny-modernbert/jsts")
    assert len(set(paths[SELECTION])) == 1
    assert len(set(paths[WHOLE])) == 2
    train = test.with_name("train-v1.3.json")
    train.write_text(train.read_text(encoding="utf-8") + train.read_text(encoding="utf-8"), encoding="utf-8")
    (other,) = open_experiments(model, jglue_folder, task)
    assert trial_path(other, SELECTION, Path()) != paths[SELECTION][0]


def test_data_are_read_as_they_were(modernbert_folder: Path, jglue_folder: Path) -> None:
    folder = jglue_folder / "jsts-v1.3"
    (folder / "test-v1.3.json").unlink()
    (experiment,) = open_experiments([str(modernbert_folder)], jglue_folder, [TASKS["jsts"]])
    shutil.copy(folder / "valid-v1.3.json", folder / "test-v1.3.json")
    assert len(encoded_splits(experiment, 0)[0]["held_out"].examples) == 8
    with pytest.raises(
        UserError, match=r"jglue: jsts-v1.3/test-v1.3.json: changed since the evaluation began"
    ) as error:
        encoded_splits(experiment, None)
    assert "\n" not in str(error.value)
    (folder / "train-v1.3.json").write_bytes((folder / "valid-v1.3.json").read_bytes())
    with pytest.raises(UserError, match=r"jsts-v1.3/train-v1.3.json: changed since the evaluation began"):
        encoded_splits(experiment, 1)


@pytest.mark.parametrize(
    ("trial", "name"),
    [
        (SELECTION, "held-out-0-0.001-1-seed-0-db8b0f74d108.json"),
        (WHOLE, "train-0.001-1-seed-0-4a6c5422bf25.json"),
    ],
)
def test_names_of_files_never_change(trial: Trial, name: str) -> None:
    """Otherwise every grid that exists would be trained again."""
    files = {"jsts-v1.3/train-v1.3.json": "2", "jsts-v1.3/valid-v1.3.json": "3"}
    identity = {"model": "1", "device": "cpu", "data": files}
    experiment = Experiment("m", "owner/name", 512, "a", Path("d"), TASKS["jsts"], identity, ())
    assert trial_path(experiment, trial, Path("out")) == Path("out/owner--name/jsts") / name
