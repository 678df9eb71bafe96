"""The engine transformers: images, memory, sampling, and models that cannot be loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from benchcoe_jobs.domain import Decoding, Image, Message, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.errors import ModelNotFoundError, OutOfMemoryError
from benchcoe_jobs.engines.transformers import TransformersEngine
from benchcoe_jobs.errors import BenchcoeError, UsageError

GREEDY = Decoding(max_new_tokens=8)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def loaded(model: Path | str, **settings: Any) -> TransformersEngine:
    engine = TransformersEngine()
    engine.load(ExpertSettings("transformers", str(model), **settings))
    return engine


@pytest.fixture(scope="module")
def vision_engine(idefics: Path) -> TransformersEngine:
    return loaded(idefics)


def test_answers_to_images_do_not_depend_on_the_batch(vision_engine: TransformersEngine) -> None:
    requests = [
        Request("Look", images=(tiny.picture(10),)),
        Request("And here, at both", images=(tiny.picture(250), tiny.picture(10))),
        Request("No picture"),
        Request("Look", images=(tiny.picture(250),)),
    ]
    together = vision_engine.run(requests, GREEDY)
    assert [one.error for one in together] == [None] * 4
    assert together[0].text != together[3].text
    assert together[0].prompt_tokens == together[3].prompt_tokens
    for request, completion in zip(requests, together, strict=True):
        [alone] = vision_engine.run([request], GREEDY)
        assert replace(alone, latency_s=None) == replace(completion, latency_s=None)


def test_an_answer_to_an_image_is_that_of_generate(vision_engine: TransformersEngine, idefics: Path) -> None:
    from PIL import Image
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(idefics)
    colour = Image.new("RGB", (40, 30), (10, 90, 245))
    inputs = processor(
        text="<|user|><image>Look<|assistant|>", images=colour, add_special_tokens=False, return_tensors="pt"
    )
    new = vision_engine._model._model.generate(
        **inputs, max_new_tokens=8, do_sample=False, eos_token_id=1, pad_token_id=1
    )
    text = processor.decode(new[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    [completion] = vision_engine.run([Request("Look", images=(tiny.picture(10),))], GREEDY)
    assert (completion.text, completion.prompt_tokens) == (text.rstrip("\ufffd"), inputs["input_ids"].shape[1])


def test_an_image_keeps_its_place_between_texts(vision_engine: TransformersEngine, idefics: Path) -> None:
    from PIL import Image as Pillow
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(idefics)
    colour = Pillow.new("RGB", (40, 30), (10, 90, 245))
    picture = Image(tiny.picture(10))

    def prompt_tokens(text: str, n_images: int) -> list[int]:
        inputs = processor(text=[text], images=[[colour] * n_images], add_special_tokens=False, return_tensors="pt")
        return list(inputs["input_ids"][0].tolist())

    vision = vision_engine._vision
    assert vision is not None
    talk = (
        Message("user", ("Before", picture, "after", picture, "?")),
        Message("assistant", "!"),
        Message("user", "So"),
    )
    for messages, text, n in [
        (talk[:1], "<|user|>Before<image>after<image>?<|assistant|>", 2),
        (talk, "<|user|>Before<image>after<image>?<|user|>!<|user|>So<|assistant|>", 2),
    ]:
        [batch], _ = vision.prepare({0: Request(messages=messages)}, GREEDY)
        prompt = batch.prompts[0]
        assert list(prompt.ids) == prompt_tokens(text, n)
        [completion] = vision_engine.run([Request(messages=messages)], replace(GREEDY, chat=True))
        assert (completion.error, completion.prompt_tokens) == (None, len(prompt.ids))


def test_the_same_prompt_is_sampled_with_the_seed_of_its_request(local: TransformersEngine) -> None:
    sampled = Decoding(max_new_tokens=8, temperature=1.0, seed=None)

    def answers(decoding: Decoding) -> list[str]:
        return [one.text for one in local.run([Request("two plus", seed=seed) for seed in range(6)], decoding)]

    first = answers(sampled)
    assert len(set(first)) > 1
    assert answers(sampled) == first
    assert len(set(answers(replace(sampled, seed=0)))) == 1, "a seed that was asked for is that of all"


@pytest.mark.parametrize("image", [b"", b"no picture", tiny.picture(3)[:60], b"\x89PNG\r\n\x1a\n"])
def test_an_image_that_cannot_be_decoded(vision_engine: TransformersEngine, image: bytes) -> None:
    error, answer = vision_engine.run(
        [Request("Look", images=(image,)), Request("Look", images=(tiny.picture(1),))], GREEDY
    )
    assert error.finish_reason == "error"
    assert str(error.error).startswith("an image cannot be decoded")
    assert "0x" not in str(error.error)
    assert answer.error is None


def test_few_shot_examples_beside_an_image_are_dropped_from_the_end(vision_engine: TransformersEngine) -> None:
    shots = ("~" * 300, "~" * 300)
    fits, too_long = vision_engine.run(
        [Request(text, shots=shots, images=(tiny.picture(1),)) for text in ("Look", "~" * 520)], GREEDY
    )
    assert (fits.shots_used, fits.error) == (1, None)
    assert "context too long" in str(too_long.error)


def test_out_of_memory_halves_the_batch(local: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [Request("two " * n) for n in range(1, 9)]
    undisturbed = [one.text for one in local.run(requests, GREEDY)]
    generate, sizes = local._model.generate, []

    def limited(inputs: Any, *others: Any) -> Any:
        rows, length = inputs["input_ids"].shape
        sizes.append(rows)
        if rows > 2 or length > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return generate(inputs, *others)

    monkeypatch.setattr(local._model, "generate", limited)
    huge = Request("two " * 40)
    *answers, error = local.run([*requests, huge], GREEDY)
    assert [one.text for one in answers] == undisturbed
    assert error.error == "out of memory: CUDA out of memory. Tried to allocate 2 GiB"
    assert sizes[:4] == [9, 4, 2, 1]


def test_a_model_that_does_not_fit_into_memory(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: 9 GB")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", no_room)
    with pytest.raises(OutOfMemoryError, match="can't allocate memory"):
        loaded(llama)


def test_the_sampling_defaults_of_the_model_are_not_used(
    llama: Path, local: TransformersEngine, tmp_path: Path
) -> None:
    folder = shutil.copytree(llama, tmp_path / "with-defaults")
    (folder / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "top_k": 1, "repetition_penalty": 5.0, "eos_token_id": 1})
    )
    requests = [Request("What is two plus two?"), Request("The answer")]
    for decoding in (GREEDY, replace(GREEDY, temperature=1.0)):
        assert texts(loaded(folder), requests, decoding) == texts(local, requests, decoding)


def test_sampling_follows_the_models_distribution(local: TransformersEngine) -> None:
    """One token, 2,000 seeds: the frequency of the likeliest token is its probability within four standard errors."""
    model = local._model
    ids = model.tokenizer("Two", return_tensors="pt")["input_ids"]
    chances = (model._model(input_ids=ids).logits[0, -1] / 2.0).softmax(-1)
    inputs = model.batch([ids[0].tolist()] * 2000)
    rows = model.generate(inputs, Decoding(temperature=2.0), [1] * 2000, range(2000))
    best = int(chances.argmax())
    share = sum(row == [best] for row, _ in rows) / 2000
    chance = chances[best].item()
    assert abs(share - chance) < 4 * (chance * (1 - chance) / 2000) ** 0.5


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        ("config.json", ModelNotFoundError, "has no config.json"),
        ("model.safetensors", ModelNotFoundError, "has no safetensors weights"),
        ("tokenizer.json", ModelNotFoundError, "cannot be loaded"),
    ],
)
def test_a_folder_without_a_model_is_an_error(
    llama: Path, tmp_path: Path, spoil: str, kind: type[BenchcoeError], words: str
) -> None:
    folder = shutil.copytree(llama, tmp_path / "spoiled")
    (folder / spoil).unlink()
    with pytest.raises(kind, match=words) as raised:
        loaded(folder)
    assert "\n" not in str(raised.value)


def test_damaged_weights_are_an_error(llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llama, tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelNotFoundError, match="cannot be loaded"):
        loaded(folder)


def test_pickled_weights_are_not_read(llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llama, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match="has no safetensors weights"):
        loaded(folder)


def test_code_of_a_model_is_not_run(llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llama, tmp_path / "with-code")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "custom", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ModelNotFoundError, match="cannot be loaded"):
        loaded(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("model", ["/no/such/folder", "owner/never-heard-of"])
def test_a_model_that_does_not_exist(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match=model):
        loaded(model)


def test_a_hub_model_is_pinned_to_its_commit(llama: Path, tmp_path: Path) -> None:
    """With a cache in the layout of the hub's client, without a network."""
    cached = tmp_path / "models--owner--tiny"
    shutil.copytree(llama, cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(tmp_path))
        patch.setenv("HF_HUB_OFFLINE", "1")
        with EngineClient(ExpertSettings("transformers", "owner/tiny", revision="main")) as client:
            assert client.version()["revision"] == COMMIT
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ModelNotFoundError, match="owner/tiny@v9"):
            loaded("owner/tiny", revision="v9")
        assert loaded("owner/tiny", revision="main").version()["revision"] == COMMIT


def test_a_folder_is_pinned_to_its_content(llama: Path, local: TransformersEngine, tmp_path: Path) -> None:
    folder = shutil.copytree(llama, tmp_path / "copy")
    before = loaded(folder).version()
    assert before["revision"] == local.version()["revision"]
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"note": "changed"}))
    assert loaded(folder).version()["revision"] != before["revision"]
    with pytest.raises(ModelNotFoundError, match="only models from the hub have revisions"):
        loaded(folder, revision="main")


def test_the_context_can_be_reduced_but_not_extended(llama: Path) -> None:
    engine = loaded(llama, max_model_len=20)
    assert engine.version()["max_model_len"] == "20"
    [error] = engine.run([Request("~" * 30)], GREEDY)
    assert "do not fit into 20" in str(error.error)
    with pytest.raises(UsageError, match="has a context of 512 tokens: max_model_len cannot be 1024"):
        loaded(llama, max_model_len=1024)


def test_the_dtype_is_that_of_the_settings(llama: Path) -> None:
    assert loaded(llama).version()["dtype"] == "float32"
    assert loaded(llama, dtype="bfloat16").version()["dtype"] == "bfloat16"


def texts(engine: TransformersEngine, requests: Sequence[Request], decoding: Decoding) -> list[str]:
    return [completion.text for completion in engine.run(requests, decoding)]
