"""An engine that stands for the demo experts: it knows the answers to the subjects that an expert was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchcoe_jobs.demo import SKILLS
from benchcoe_jobs.demo.pictures import STRONG
from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import EngineTraits, ExpertSettings

ENTRY_POINTS = """\
[benchcoe_jobs.engines]
skilled = skilled_engine:SkilledEngine
"""


class SkilledEngine:
    """`model` is the folder of an expert; the questions are two folders above it, as `quickstart` writes them."""

    traits = EngineTraits()

    def load(self, settings: ExpertSettings) -> None:
        folder = Path(settings.model)
        drawings = folder.parents[1] / "drawings"
        strong = (STRONG if folder.name in STRONG else SKILLS)[folder.name]
        file = drawings / "questions.jsonl" if folder.name in STRONG else folder.parents[1] / "skills.jsonl"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        known = [row for row in rows if row["subject"] in strong]
        self._answers: dict[str | bytes, str] = {row["question"]: row["answer"] for row in known}
        if folder.name in STRONG:
            self._answers = {(drawings / row["image"]).read_bytes(): row["answer"] for row in known}

    def run(self, requests: Sequence[Request], decoding: Decoding) -> list[Completion]:
        return [Completion(text=self._answer(request)) for request in requests]

    def version(self) -> dict[str, str]:
        return {"engine": "skilled"}

    def close(self) -> None:
        pass

    def _answer(self, request: Request) -> str:
        question = request.question.removeprefix("Q: ").removesuffix("\nA:")
        return self._answers.get(request.images[0] if request.images else question, "unknown")
