"""Questions that are pictures alone: red ones, which ann knows, and blue ones, which bob knows."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path

import tables
from PIL import Image
from sqlalchemy import update

from benchcoe_jobs.domain import Level
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.training.train import Trained, train_router
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Expert

KNOWN_BY = {"red": "ann", "blue": "bob"}
N = 40


def picture(subject: str, seed: int) -> bytes:
    """A picture of a subject in one colour, PNG."""
    luck = random.Random(f"{subject}{seed}")
    red, green, blue = {"red": (200, 60, 40), "blue": (40, 60, 200)}[subject]
    image = Image.new("RGB", (24, 24), (red + luck.randrange(40), green + luck.randrange(40), blue))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def uri(subject: str, seed: int) -> str:
    """The picture as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(picture(subject, seed)).decode()}"


def fill(store: Store, folder: Path) -> None:
    """Experts with the engine `echo`, and their scores on the benchmark `toy`, whose texts are empty."""
    queries = [
        {"key": f"{subject}{n}", "images": [uri(subject, n)], "subject": subject}
        for subject in KNOWN_BY
        for n in range(N)
    ]
    (folder / "pictures.jsonl").write_text("\n".join(map(json.dumps, queries)))
    add_benchmark(store, tables.BENCHMARK, folder / "pictures.jsonl")
    tables.add_experts(store, ann=1.0, bob=2.0)
    for expert in ("ann", "bob"):
        rows = [
            {
                "key": query["key"],
                "subject": query["subject"],
                "score": float(KNOWN_BY[str(query["subject"])] == expert),
            }
            for query in queries
        ]
        tables.bring(store, folder, expert, *rows)
    with store.writing() as connection:
        connection.execute(update(Expert).values(engine="echo", model="echo"))


def train(store: Store, folder: Path, level: Level = Level.SUBJECT, kind: str = "vision") -> Trained:
    """Train router `looks`."""
    scope = {"pool": "all", "benchmark": None, "split": "train"}
    return train_router(store, folder, "looks", level=level, kind=kind, head=None, **scope)
