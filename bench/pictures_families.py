"""Families of models that see, with a tiny model of each: does it load, see, keep the order, take several pictures?

    python bench/pictures_families.py

The engine `transformers` answers in this process. The models have random weights, so the quality of answers is not
measured. The last column is the time until a model ends with an error whose files name an image processor that does not
exist, in an engine server process of its own, as in a profile.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import tiny
from harness import markdown
from vision_families import FAMILIES, Family

from benchcoe_jobs.domain import Completion, Decoding, Image, Message, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.transformers import TransformersEngine
from benchcoe_jobs.errors import BenchcoeError

CHAT = Decoding(max_new_tokens=8, chat=True)
ONE, TWO, *OTHERS = (Image(tiny.picture(red)) for red in (250, 70, 10, 130, 190))
COLUMNS = [
    "family",
    "loads",
    "sees",
    "order of text and pictures kept",
    "several pictures",
    "a spoiled one fails, s",
]


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            rows.append(measured(family, Path(folder) / family.name))
            print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    markdown(COLUMNS, rows)


def measured(family: Family, folder: Path) -> list[str]:
    """The row of a family in the table."""
    folder.mkdir()
    family.save(folder)
    settings = ExpertSettings("transformers", str(folder))
    engine = TransformersEngine()
    try:
        engine.load(settings)
    except BenchcoeError as error:
        return [family.name, f"no: {error}", "-", "-", "-", "-"]
    seen = ["yes" if is_so else "no" for is_so in (sees(engine), keeps_order(engine), takes_several(engine))]
    spoil(folder)
    start = time.monotonic()
    try:
        with EngineClient(settings) as client:
            client.load()
    except BenchcoeError as error:
        failed = f"{time.monotonic() - start:.1f}" if "cannot see" in str(error) else f"another one: {error}"
    else:
        failed = "none"
    return [family.name, "yes", *seen, failed]


def sees(engine: TransformersEngine) -> bool:
    """Whether another picture gets another answer."""
    return changes(engine, [ONE, "Look"], [[other, "Look"] for other in OTHERS])


def keeps_order(engine: TransformersEngine) -> bool:
    """Whether the same texts and pictures in another order get another answer: pictures after texts, and swapped."""
    first = ["Before", ONE, "after", TWO]
    return changes(engine, first, [[ONE, "Before", TWO, "after"]]) and changes(
        engine, first, [["Before", TWO, "after", ONE]]
    )


def takes_several(engine: TransformersEngine) -> bool:
    """Whether another first picture of two gets another answer, and another second one."""
    both = ["Before", ONE, "after", TWO]
    return changes(engine, both, [["Before", other, "after", TWO] for other in OTHERS]) and changes(
        engine, both, [["Before", ONE, "after", other] for other in OTHERS]
    )


def changes(engine: TransformersEngine, parts: list[str | Image], others: list[list[str | Image]]) -> bool:
    """Whether one of the other messages gets another answer. With random weights, not every picture changes tokens."""
    [answer, *answers] = [answered(engine, one) for one in [parts, *others]]
    return any(other.text != answer.text for other in answers)


def answered(engine: TransformersEngine, parts: list[str | Image]) -> Completion:
    """The answer to a message, which is asked alone: rounding cannot change it."""
    [completion] = engine.run([Request(messages=(Message("user", tuple(parts)),))], CHAT)
    assert completion.error is None, completion.error
    return completion


def spoil(folder: Path) -> None:
    """Name an image processor that transformers does not have in the file that names the right one."""
    file = folder / "preprocessor_config.json"
    if not file.exists():
        file = folder / "processor_config.json"
    file.write_text(json.dumps({"image_processor_type": "NoSuchImageProcessor"}))


if __name__ == "__main__":
    main()
