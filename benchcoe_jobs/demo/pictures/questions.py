"""Drawn pictures with questions about eight small subjects, made with a seed.

The questions of four subjects have words of their own, those of the other four the same: only the picture differs.
Training and test questions differ in the fact that they ask for: one fact in eight, chosen by hash, is held out from
training in all wordings and styles.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from benchcoe_jobs.demo.pictures.canvas import COLOURS, OTHER, PLAIN, SHAPES, Canvas, Style

SAME_WORDS = ("digits", "dice", "clocks", "bars")
"""The subjects whose questions have the same text."""

_SAME_TEXTS = ("What number does the picture show?", "Read the number in this image.")

_HELD_OUT = 8
"""One fact in this number is held out for testing."""

_SEED = 7


@dataclass(frozen=True, slots=True)
class PictureQuestion:
    """A question about a picture with its only correct answer. `texts` is the question in two wordings."""

    subject: str
    fact: str
    texts: tuple[str, str]
    answer: str

    @property
    def is_held_out(self) -> bool:
        """Whether the question is for testing: experts were not trained on its fact."""
        content = f"{self.subject}/{self.fact}".encode()
        return hashlib.sha256(content).digest()[0] % _HELD_OUT == 0


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture and all questions about it."""

    image: Image.Image
    questions: list[PictureQuestion]


def drawing(subject: str, rng: random.Random, style: Style, *, held_out: bool) -> Drawing:
    """A picture of a subject, with its questions that are held out, or with the others; there is one at least.

    The pictures of colours, shapes and places are alike, so that they have questions of all three.
    """
    while True:
        canvas = Canvas(style, rng)
        questions = [one for one in _DRAWN[subject](canvas, rng) if one.is_held_out == held_out]
        if any(one.subject == subject for one in questions):
            return Drawing(canvas.finished(), questions)


def write_pictures(
    folder: Path, per_subject: int, *, other_style: bool = False, seed: int = _SEED, subjects: tuple[str, ...] = ()
) -> None:
    """Write test questions in the format of the benchmark `drawings`; for equal arguments they are the same.

    `folder` gets questions.jsonl and the pictures as PNG files. `other_style` means another style and wording; without
    `subjects` there are all. All pictures are different.
    """
    rng = random.Random(seed)  # noqa: S311 -- a fixed draw, not a secret
    folder.mkdir(parents=True, exist_ok=True)
    written: set[bytes] = set()
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as file:
        for subject in subjects or SUBJECTS:
            number = 0
            while number < per_subject:
                drawn = drawing(subject, rng, OTHER if other_style else PLAIN, held_out=True)
                png = BytesIO()
                drawn.image.save(png, "PNG")
                if png.getvalue() in written:
                    continue
                written.add(png.getvalue())
                chosen = rng.choice([one for one in drawn.questions if one.subject == subject])
                key = f"{subject}-{number}"
                (folder / f"{key}.png").write_bytes(png.getvalue())
                row = {
                    "id": key,
                    "subject": subject,
                    "question": chosen.texts[other_style],
                    "answer": chosen.answer,
                    "image": f"{key}.png",
                }
                file.write(json.dumps(row) + "\n")
                number += 1


_PLACES = {"top": (24, 11), "bottom": (24, 37), "left": (11, 24), "right": (37, 24), "middle": (24, 24)}


def _one_shape(canvas: Canvas, rng: random.Random) -> list[PictureQuestion]:
    kind, colour, (place, (x, y)) = rng.choice(SHAPES), rng.choice(COLOURS), rng.choice(list(_PLACES.items()))
    canvas.shape(kind, x + rng.uniform(-3, 3), y + rng.uniform(-3, 3), rng.uniform(6, 9), colour)
    fact = f"{kind},{colour},{place}"
    return [
        PictureQuestion("colours", fact, (f"What colour is the {kind}?", f"Name the colour of the {kind}."), colour),
        PictureQuestion("shapes", fact, (f"Which shape is {colour}?", f"Name the {colour} shape."), kind),
        PictureQuestion("places", fact, (f"Where is the {kind}?", f"Name the place of the {kind}."), place),
    ]


def _counting(canvas: Canvas, rng: random.Random) -> list[PictureQuestion]:
    kind, other = rng.sample(SHAPES, 2)
    n, more = rng.randint(1, 5), rng.randint(0, 2)
    cells = rng.sample([(x, y) for x in (9, 24, 39) for y in (9, 24, 39)], n + more)
    for place, (x, y) in enumerate(cells):
        shape, colour = kind if place < n else other, rng.choice(COLOURS)
        canvas.shape(shape, x + rng.uniform(-1, 1), y + rng.uniform(-1, 1), 5.5, colour)
    plural = "crosses" if kind == "cross" else f"{kind}s"
    fact = f"{kind},{other},{sorted(cells[:n])},{sorted(cells[n:])}"
    return [PictureQuestion("counting", fact, (f"How many {plural} are there?", f"Count the {plural}."), str(n))]


def _same_words(subject: str, fact: str, n: int) -> list[PictureQuestion]:
    return [PictureQuestion(subject, fact, _SAME_TEXTS, str(n))]


def _digits(canvas: Canvas, rng: random.Random) -> list[PictureQuestion]:
    n = rng.randint(10, 99)
    colour = rng.choice([name for name in COLOURS if name not in ("white", "yellow")])
    canvas.text(rng.uniform(3, 9), rng.uniform(4, 10), str(n), rng.choice((28, 30, 32)), colour)
    return _same_words("digits", str(n), n)


_PIPS = {
    1: ((0, 0),),
    2: ((-1, -1), (1, 1)),
    3: ((-1, -1), (0, 0), (1, 1)),
    4: ((-1, -1), (1, -1), (-1, 1), (1, 1)),
    5: ((-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)),
    6: ((-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)),
}
"""The places of the pips of a die, from its centre."""

_BODIES = (("white", "black"), ("red", "white"), ("blue", "white"), ("black", "white"), ("green", "white"))
"""Colours of a die or a clock, and of what is on it."""


def _dice(canvas: Canvas, rng: random.Random) -> list[PictureQuestion]:
    n, (body, pip) = rng.randint(1, 6), rng.choice(_BODIES)
    x, y, radius = rng.randint(19, 29), rng.randint(19, 29), rng.randint(13, 17)
    canvas.box(x - radius, y - radius, x + radius, y + radius, body, rounded=4)
    turned = rng.random() < 0.5
    for right, down in _PIPS[n]:
        if turned:
            right, down = -down, right
        canvas.circle(x + 0.55 * radius * right, y + 0.55 * radius * down, 2.4, pip)
    return _same_words("dice", f"{n},{body},{x},{y},{radius}", n)


def _clocks(canvas: Canvas, rng: random.Random) -> list[PictureQuestion]:
    hour, (face, hand) = rng.randint(1, 12), rng.choice(_BODIES)
    x, y, radius = rng.randint(22, 26), rng.randint(22, 26), rng.randint(18, 21)
    canvas.circle(x, y, radius, face)
    for mark in range(12):
        canvas.ray(x, y, mark, (0.85 * radius, radius), hand)
    canvas.ray(x, y, hour, (0, 0.6 * radius), hand, width=3)
    canvas.ray(x, y, 12, (0, 0.85 * radius), hand)
    return _same_words("clocks", f"{hour},{face},{x},{y},{radius}", hour)


def _bars(canvas: Canvas, rng: random.Random) -> list[PictureQuestion]:
    n, colour = rng.randint(1, 9), rng.choice([name for name in COLOURS if name != "white"])
    left, width = rng.randint(12, 30), rng.randint(6, 12)
    for height in range(10):
        canvas.line((5, 44 - 4 * height), (44, 44 - 4 * height), "white" if height % 5 else "black")
    canvas.box(left, 44 - 4 * n, left + width, 44, colour)
    canvas.line((5, 4), (5, 44), "black")
    return _same_words("bars", f"{n},{colour},{left},{width}", n)


_DRAWN: dict[str, Callable[[Canvas, random.Random], list[PictureQuestion]]] = {
    "bars": _bars,
    "clocks": _clocks,
    "colours": _one_shape,
    "counting": _counting,
    "dice": _dice,
    "digits": _digits,
    "places": _one_shape,
    "shapes": _one_shape,
}

SUBJECTS = tuple(_DRAWN)
