"""Families of models that see, each with a tiny one, through engine client, messages and engine server."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import server_thread
import tiny
import vision_families
from made_once import made_once
from PIL import Image as Pillow
from transformers import AutoTokenizer
from vision_families import Family

from benchcoe_jobs.domain import Completion, Decoding, Image, Message, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.errors import ModelNotFoundError
from benchcoe_jobs.engines.model import LocalModel
from benchcoe_jobs.errors import BenchcoeError, MissingError

CHAT = Decoding(max_new_tokens=8, chat=True)
RED, BLUE = tiny.picture(250), tiny.picture(10)


@pytest.fixture(autouse=True)
def in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    server_thread.use(monkeypatch)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    family: Family = getattr(request, "param", None) or request.getfixturevalue("family")
    return made_once(tmp_path_factory, f"family-{family.name}", family.save)


def talk(*parts: str | Image) -> Request:
    return Request(messages=(Message("user", parts),))


@pytest.mark.parametrize("family", vision_families.FAMILIES, ids=lambda family: family.name)
def test_a_family_sees_several_pictures_in_their_order(
    family: Family, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[list[int]] = []
    generate = LocalModel.generate

    def spy(self: LocalModel, inputs: Any, *others: Any) -> Any:
        prompts.extend(inputs["input_ids"].tolist())
        return generate(self, inputs, *others)

    monkeypatch.setattr(LocalModel, "generate", spy)
    one, other = Image(RED), Image(BLUE)
    requests = [
        talk("Before", one, "after", other, "?"),
        talk("Before", other, "after", one, "?"),
        Request("Look", images=(RED,)),
        Request("Look", images=(BLUE,)),
        Request("No picture"),
    ]
    with EngineClient(ExpertSettings("transformers", str(folder))) as client:
        answers = client.run(requests, CHAT)
        assert client.version()["image_processor"].endswith("Pil")
    assert [answer.error for answer in answers] == [None] * 5
    several, swapped, red, blue, _ = (answer.text for answer in answers)
    assert several != swapped
    assert red != blue
    decoded = AutoTokenizer.from_pretrained(folder).batch_decode(prompts)
    talks = [text for text in decoded if "Before" in text]
    assert len(talks) == 2
    for text in talks:
        start, middle, end = (text.index(word) for word in ("Before", "after", "?"))
        assert family.image_token not in text[:start] + text[end:]
        assert family.image_token in text[start:middle]
        assert family.image_token in text[middle:end]


QWEN = next(family for family in vision_families.FAMILIES if family.name == "Qwen2-VL")


def load_error(folder: Path) -> BenchcoeError:
    with EngineClient(ExpertSettings("transformers", str(folder))) as client:
        with pytest.raises(BenchcoeError) as raised:
            client.load()
        return raised.value


@pytest.mark.parametrize("folder", [QWEN], indirect=True)
def test_a_model_that_cannot_see_ends_the_load(folder: Path, tmp_path: Path) -> None:
    spoiled = shutil.copytree(folder, tmp_path / "spoiled")
    images = json.loads((folder / "preprocessor_config.json").read_text())
    (spoiled / "preprocessor_config.json").write_text(json.dumps(images | {"merge_size": "two"}))
    error = load_error(spoiled)
    assert isinstance(error, ModelNotFoundError)
    assert "cannot see: its image processor fails at a picture of 64 x 48 pixels" in str(error)
    (spoiled / "preprocessor_config.json").write_text(json.dumps(images))
    (spoiled / "chat_template.jinja").write_text("{{ messages[0].content[-1].text }}")
    assert "cannot see" in str(load_error(spoiled))


@pytest.mark.parametrize("folder", [QWEN], indirect=True)
def test_an_image_processor_that_needs_torchvision_names_the_remedy(folder: Path, tmp_path: Path) -> None:
    """Cohere's has no part for Pillow."""
    spoiled = shutil.copytree(folder, tmp_path / "spoiled")
    images = {"image_processor_type": "Cohere2VisionImageProcessor"}
    (spoiled / "preprocessor_config.json").write_text(json.dumps(images))
    error = load_error(spoiled)
    assert isinstance(error, MissingError)
    assert "pip install torchvision" in str(error)


@pytest.mark.parametrize("folder", [QWEN], indirect=True)
def test_a_picture_that_the_processor_refuses_is_the_error_of_its_request(folder: Path) -> None:
    """Qwen's refuses pictures 200 times as wide as high. All others are answered, and nothing is loaded again."""
    requests = [Request("Look", images=(file,)) for file in (RED, wide(), BLUE, RED, b"no picture", BLUE)]
    with EngineClient(ExpertSettings("transformers", str(folder))) as client:
        answers = client.run(requests, CHAT)
        alone = client.run(requests[:1], CHAT)
        assert client.loads == 1
    assert [answer.error is None for answer in answers] == [True, False, True, True, False, True]
    assert "aspect ratio" in str(answers[1].error)
    assert texts(answers[:1]) == texts(alone)


def wide() -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (3000, 2)).save(file, "PNG")
    return file.getvalue()


def texts(completions: list[Completion]) -> list[str]:
    return [completion.text for completion in completions]
