from pathlib import Path

import pytest

from service.errors import InvalidInputError
from workers.training.job_folder import (
    JobFolder,
    checkpoint_path,
    mark_complete,
    newest_checkpoint,
    replace_folder,
)


def test_the_same_recipe_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "a" / "job")
    assert not job.begin({"base": "x", "rules": (1, 2)}, restart=False)
    assert job.begin({"base": "x", "rules": (1, 2)}, restart=False)
    with pytest.raises(InvalidInputError, match="begun with another base") as caught:
        job.begin({"base": "y", "rules": (1, 2)}, restart=False)
    assert "--restart" in (caught.value.mend or "")
    job.write("outcome.json", {"steps": 3})
    assert not job.begin({"base": "y"}, restart=True)
    assert job.read("outcome.json") is None


def test_a_checkpoint_that_is_not_whole_is_not_gone_on_with(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    for step in (8, 16, 100):
        checkpoint_path(tmp_path, step).mkdir()
        (checkpoint_path(tmp_path, step) / "weights").touch()
    for step in (8, 16):
        mark_complete(checkpoint_path(tmp_path, step))
    assert newest_checkpoint(tmp_path) == checkpoint_path(tmp_path, 16)
    assert not checkpoint_path(tmp_path, 100).exists()


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("old", "new"):
        draft = tmp_path / ".draft"
        draft.mkdir()
        (draft / content).touch()
        replace_folder(draft, target)
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
