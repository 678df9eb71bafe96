"""What a picture costs on its way through host and store, and the memory of a profile of large pictures.

    python bench/pictures_overhead.py cpu [--times 3]
    python bench/pictures_overhead.py memory [--pictures 2000]

`cpu`: a profile against the bare engine, which answers the same requests in micro-batches of the same size without host
and store. CPU seconds are those of host and engine process without the load of the model, and without `add-benchmark`;
both use one thread. The expert is one of `quickstart --pictures`: the smaller the model, the more the overhead weighs.

`memory`: the peak of host and engine process, less what the engine process has once its model is loaded.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from harness import command, markdown
from PIL import Image

from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.drawings import Drawings
from benchcoe_jobs.demo.pictures import model_folder
from benchcoe_jobs.demo.pictures.questions import write_pictures
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.transformers import TransformersEngine

EXPERT = "painter"
MODEL = str(model_folder(EXPERT))
QUESTIONS = "questions.jsonl"
DRAWINGS_PER_SUBJECT, PHOTOGRAPHS = 128, 128
SIDES = {1: (1224, 816), 6: (3000, 2000)}
"""Megapixels of a picture -> its width and height."""

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["cpu", "memory"])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=2000)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # threads that wait would count
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        if options.part == "cpu":
            cpu(options.times)
        else:
            memory(options.pictures)


# --- CPU -----------------------------------------------------------------------------------------------------------


def cpu(times: int) -> None:
    """Print the table of ratios, with a row for each kind of pictures."""
    kinds: list[tuple[str, Callable[[Path], object]]] = [
        ("drawings of 48 x 48", lambda folder: write_pictures(folder, DRAWINGS_PER_SUBJECT)),
        ("photographs of 1 megapixel", lambda folder: write_photographs(folder, PHOTOGRAPHS, megapixels=1)),
    ]
    rows = []
    for name, write in kinds:
        folder = Path(name.split()[0]).absolute()
        write(folder)
        pairs = [(alone(profile, folder), alone(bare, folder)) for _ in range(times)]
        n = pairs[0][0].answered
        ours, theirs = ([1000 * one / n for one in seconds] for seconds in zip(*map(of_pair, pairs), strict=True))
        ratios = [mine / least for mine, least in zip(ours, theirs, strict=True)]
        medians = [f"{statistics.median(values):.2f}" for values in (ours, theirs, ratios)]
        rows.append([name, str(n), *medians, ", ".join(f"{ratio:.2f}" for ratio in ratios)])
    columns = ["pictures", "n", "profile, CPU ms each", "bare engine, CPU ms each", "ratio, median", "ratios"]
    markdown(columns, rows)


def of_pair(pair: tuple[Profile, float]) -> tuple[float, float]:
    """The CPU seconds of a profile and of the bare engine."""
    return pair[0].cpu_s, pair[1]


def bare(folder: Path) -> float:
    """CPU seconds of the engine for all questions. Like a profile, it reads a picture when its micro-batch begins."""
    engine = TransformersEngine()
    engine.load(ExpertSettings("transformers", MODEL))
    gc.collect()
    gc.freeze()  # as the engine server does
    benchmark = Drawings()
    began = time.process_time()
    queries = benchmark.load(folder)
    while batch := list(islice(queries, engine.traits.micro_batch)):
        requests = [benchmark.request(query, NO_SHOTS) for query in batch]
        assert not [answer.error for answer in engine.run(requests, benchmark.decoding) if answer.error]
    return time.process_time() - began


# --- memory --------------------------------------------------------------------------------------------------------


def memory(n: int) -> None:
    """Print the table of memory."""
    folder = Path("photographs").absolute()
    write_photographs(folder, n, megapixels=6)
    size = sum(file.stat().st_size for file in folder.glob("*.jpg")) / n / 1e6
    done = alone(profile, folder)
    beside = done.host_peak_mb + done.engine_peak_mb - done.loaded_mb
    columns = [
        "pictures",
        "MB each",
        "host, peak MB",
        "engine process, peak MB",
        "of which with the model loaded, MB",
        "beside the model, MB",
    ]
    figures = [done.host_peak_mb, done.engine_peak_mb, done.loaded_mb, beside]
    markdown(columns, [[f"{n:,} of 6 megapixels", f"{size:.1f}", *(f"{figure:.0f}" for figure in figures)]])


# --- both ----------------------------------------------------------------------------------------------------------


def write_photographs(folder: Path, n: int, *, megapixels: int) -> None:
    """Questions in the format of the benchmark `drawings` about JPEG files of one scene, each with its own comment.

    So all are stored, sent and decoded, and only one is encoded here. The scene has details of all sizes, and its file
    is about as large as that of a photograph.
    """
    width, height = SIDES[megapixels]
    rng = np.random.default_rng(0)
    scene = np.zeros((height, width, 3))
    for cell in (1, 4, 16, 64, 256):
        noise = rng.integers(0, 256, (height // cell + 1, width // cell + 1, 3), dtype=np.uint8)
        scene += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)) * cell**0.25
    scene = 255 * (scene - scene.min()) / (scene.max() - scene.min())
    file = BytesIO()
    Image.fromarray(scene.astype(np.uint8)).save(file, "JPEG", quality=95)
    encoded = file.getvalue()
    folder.mkdir()
    with (folder / QUESTIONS).open("w", encoding="utf-8") as questions:
        for number in range(n):
            comment = f"{number:08}".encode()
            marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment
            (folder / f"{number}.jpg").write_bytes(encoded[:2] + marker + encoded[2:])
            row = {"id": str(number), "subject": "colours", "question": f"What is {number}?", "answer": "red"}
            questions.write(json.dumps(row | {"image": f"{number}.jpg"}) + "\n")


@dataclass(frozen=True)
class Profile:
    """What a profile used: CPU without the load of the model; megabytes."""

    answered: int
    cpu_s: float
    host_peak_mb: float
    engine_peak_mb: float
    loaded_mb: float


def profile(folder: Path) -> Profile:
    """A profile of the questions in a folder, in a new store; this process is the host."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["BENCHCOE_DATABASE_URL"] = f"sqlite:///{place}/benchcoe.db"
        command("init")
        command("add-expert", EXPERT, "--engine", "transformers", "--model", MODEL, "--no-profile")
        alone(command, "add-benchmark", "drawings", str(folder))
        watched = Watched()
        began = time.process_time()
        done = command("profile", EXPERT)
        host_s = time.process_time() - began
    answered = done["benchmarks"][0]["answered"]
    assert done["loads"] == 1, done
    host_peak_mb = status_mb("self", "VmHWM")
    return Profile(answered, host_s + watched.engine_s, host_peak_mb, watched.engine_peak_mb, watched.loaded_mb)


class Watched:
    """What the engine process of a profile in this process uses, from the end of its load until it is closed."""

    def __init__(self) -> None:
        self.engine_s = self.engine_peak_mb = self.loaded_mb = 0.0
        load, close = EngineClient.load, EngineClient.close

        def watched_load(client: EngineClient) -> None:
            is_new = client._server is None
            load(client)
            if is_new:
                self.engine_s -= process_s(client._server.pid)
                self.loaded_mb = status_mb(client._server.pid, "VmRSS")

        def watched_close(client: EngineClient, **options: Any) -> None:
            if client._server is not None:
                self.engine_s += process_s(client._server.pid)
                self.engine_peak_mb = status_mb(client._server.pid, "VmHWM")
            close(client, **options)

        EngineClient.load, EngineClient.close = watched_load, watched_close


def process_s(pid: int) -> float:
    """CPU seconds of a process and all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_mb(pid: int | str, name: str) -> float:
    """A figure of /proc/PID/status in megabytes: VmRSS, or VmHWM, its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e6


def alone(work: Callable[..., Result], *arguments: Any) -> Result:
    """What `work` returns in a new process, which has nothing of this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


if __name__ == "__main__":
    main()
