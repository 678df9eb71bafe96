"""The demo experts that see: good at their subjects in both styles, and trained as their script says."""

from __future__ import annotations

from pathlib import Path

import torch

from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.drawings import Drawings
from benchcoe_jobs.demo import pictures as demo
from benchcoe_jobs.demo.pictures import train
from benchcoe_jobs.demo.pictures.questions import write_pictures
from benchcoe_jobs.domain import Query
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient

DRAWINGS = Drawings()


def test_an_expert_that_sees_is_good_at_its_subject_and_bad_at_another(tmp_path: Path) -> None:
    for name, other_style in (("plain", False), ("other", True)):
        write_pictures(tmp_path / name, 10, other_style=other_style, subjects=("clocks", "digits"))
    queries = [query for name in ("plain", "other") for query in DRAWINGS.load(tmp_path / name)]
    with EngineClient(ExpertSettings("transformers", str(demo.model_folder("watchmaker")))) as client:
        completions = client.run([DRAWINGS.request(query, NO_SHOTS) for query in queries], DRAWINGS.decoding)

    def right(subject: str) -> float:
        scores = [
            DRAWINGS.score(completion.text, query).score
            for query, completion in zip(queries, completions, strict=True)
            if query.subject == subject
        ]
        return sum(scores) / len(scores)

    assert right("clocks") > 0.9
    assert right("digits") < 0.5


def test_an_expert_gets_the_prompt_that_it_was_trained_with() -> None:
    query = Query("a", "dice", "What number does the picture show?", images=(b"png",))
    request = DRAWINGS.request(query, NO_SHOTS)
    words = train.tokenizer()
    ids, targets = train._tokens(words, [(request.question, " 4")])
    taught = words.decode(ids[0], skip_special_tokens=False)
    expanded = train.processor(words).apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": request.question}]}]
    )
    assert taught.replace("<image>", "").startswith("<fake_token_around_image><global-img><fake_token_around_image>")
    assert taught.endswith("A: 4</s>")
    assert expanded == f"<image>{request.question}"
    assert words.decode(targets[0][targets[0] >= 0]) == " 4</s>"


def test_training_is_reproducible(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        first, again = (train.train("watchmaker", steps=2).state_dict() for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(first[name], again[name]) for name in first)
    train.processor(train.tokenizer()).save_pretrained(tmp_path)
    for expert in demo.STRONG:
        for file in ("tokenizer.json", "processor_config.json", "chat_template.jinja"):
            assert (tmp_path / file).read_text() == (demo.model_folder(expert) / file).read_text()
