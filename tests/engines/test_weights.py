"""A model is found in a folder of this machine before any hub is asked."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from benchcoe_jobs.engines.errors import ModelNotFoundError
from benchcoe_jobs.engines.weights import find_model


@pytest.mark.parametrize("model", ["/srv/models/tiny", "./tiny", "../models/tiny", "~/tiny"])
def test_a_path_that_this_machine_does_not_have_is_no_hub_id(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise AssertionError("a request to the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelNotFoundError, match=f"model folder {model} is not on this machine: copy it there"):
        find_model(model, None, with_code=False)


def test_a_folder_is_found_in_the_home_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tiny").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "tiny" / name).touch()
    assert find_model("~/tiny", None, with_code=False)[0] == tmp_path / "tiny"
