"""Routers that look against routers that read, on drawn pictures and on published results of vision-language models.

    OMP_NUM_THREADS=1 python bench/pictures.py drawn [--answers FILE]
    OMP_NUM_THREADS=1 python bench/pictures.py real [--encoder efficientnet-lite0]

drawn: the four experts of `quickstart --pictures` answer 800 drawings and 320 in another style and wording. real:
published scores in ../shared/data/pictures. Both assign the questions five times to 60 % for training and 40 % for the
test; all routers have the same splits. A figure is a mean over the splits in points, with a 95 % bootstrap interval
over questions. --answers keeps the answers of the experts in a file.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from harness import markdown
from numpy.typing import NDArray
from routing import Found, by_question, interval, less

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.drawings import Drawings
from benchcoe_jobs.demo import pictures as demo
from benchcoe_jobs.demo.pictures.questions import SAME_WORDS, write_pictures
from benchcoe_jobs.domain import Level, Query, RouterInput
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.routers.base import Examples, TrainingContext
from benchcoe_jobs.routers.model import new_trainer

DATA = Path(__file__).parents[2] / "shared" / "data" / "pictures"
ASSIGNMENTS, TRAIN = 5, 0.6
PER_SUBJECT, IN_OTHER_STYLE = 100, 40


@dataclass(frozen=True)
class Data:
    """Questions with the scores (n, experts) of every expert."""

    questions: list[RouterInput]
    subjects: NDArray[np.str_]
    scores: Floats

    def take(self, rows: NDArray[np.intp]) -> Data:
        return Data([self.questions[row] for row in rows.tolist()], self.subjects[rows], self.scores[rows])


@dataclass(frozen=True)
class Router:
    """A router to measure."""

    level: Level
    kind: str
    reads: str = "text"
    image_encoder: str | None = None

    def __str__(self) -> str:
        encoder = f" ({self.image_encoder})" if self.image_encoder else ""
        return f"{self.level}, {self.kind}{encoder}: {self.reads}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["drawn", "real"])
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--encoder", action="append", default=[])
    options = parser.parse_args()
    if options.part == "drawn":
        drawn(options.answers)
    else:
        real(["handmade", *options.encoder])


class VectorsInMemory:
    """A cache, so that a picture is encoded once for all splits."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], bytes] = {}

    def get(self, encoder: str, hashes: Sequence[str]) -> dict[str, bytes]:
        return {key: self._stored[encoder, key] for key in hashes if (encoder, key) in self._stored}

    def put(self, encoder: str, vectors: Mapping[str, bytes]) -> None:
        self._stored.update({(encoder, key): vector for key, vector in vectors.items()})


CACHE = VectorsInMemory()


def assigned(n: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Training and test questions."""
    shuffled = np.random.default_rng(seed).permutation(n)
    return shuffled[: int(TRAIN * n)], shuffled[int(TRAIN * n) :]


def best(scores: Floats) -> int:
    return int(scores.mean(axis=0).argmax())


def chosen(router: Router, train: Data, test: Data) -> NDArray[np.intp]:
    """The expert that a router with its default settings chooses for each test question, (n,)."""
    table = {subject: best(train.scores[train.subjects == subject]) for subject in np.unique(train.subjects)}
    outputs: tuple[str, ...] = tuple(table)
    targets = (train.subjects[:, None] == np.array(outputs)).astype(float)
    if router.level is Level.QUERY:
        outputs, targets = tuple(f"expert {n}" for n in range(train.scores.shape[1])), train.scores
    context = TrainingContext(image_encoder=router.image_encoder, cache=CACHE)
    model = new_trainer(router.level, router.kind, None, context).fit(
        outputs, Examples(train.questions, train.subjects.tolist(), targets), scores=train.scores
    )
    reading = model.read(test.questions)
    choice = reading.predictions.argmax(axis=1)
    if router.level is Level.SUBJECT:
        choice = np.array([table[outputs[column]] for column in choice.tolist()])
    if model.fallback is not None and reading.familiarity is not None:
        choice = np.where(reading.familiarity < model.fallback.threshold, best(train.scores), choice)
    return choice


def scored(test: Data, choice: NDArray[np.intp] | int) -> Floats:
    """The scores of the chosen experts (n,)."""
    return test.scores[np.arange(len(test.scores)), choice]


# --- drawn pictures ------------------------------------------------------------------------------------------------

READERS = [Router(Level.SUBJECT, "tfidf"), Router(Level.QUERY, "tfidf")]
LOOKERS = [Router(level, "vision", "text and picture", "handmade") for level in (Level.SUBJECT, Level.QUERY)]


def drawn(answers: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain, other = Path(folder) / "plain", Path(folder) / "other"
        write_pictures(plain, PER_SUBJECT, seed=1)
        write_pictures(other, IN_OTHER_STYLE, seed=2, other_style=True)
        queries = [list(Drawings().load(part)) for part in (plain, other)]
    scores = answered([*queries[0], *queries[1]], answers)
    split = len(queries[0])
    usual, unusual = as_data(queries[0], scores[:split]), as_data(queries[1], scores[split:])
    print("## Accuracy of the experts by subject\n")
    names = sorted(set(usual.subjects.tolist()))
    markdown(
        ["expert", *names, "other style"],
        [
            [
                name,
                *(f"{100 * usual.scores[usual.subjects == subject, column].mean():.0f}" for subject in names),
                f"{100 * unusual.scores[:, column].mean():.0f}",
            ]
            for column, name in enumerate(demo.STRONG)
        ],
    )
    rows: list[list[str]] = []
    for title, test_data, same_words in (
        ("all", usual, False),
        ("same words", usual, True),
        ("other style and wording", unusual, False),
        ("other style and wording, same words", unusual, True),
    ):
        rows += [[title, *row] for row in of_drawings(usual, test_data, same_words)]
    print("\n## Routers on drawings\n")
    markdown(
        ["questions", "router", "accuracy", "gain over the best single expert", "less the router that reads"], rows
    )


def of_drawings(usual: Data, test_data: Data, same_words: bool) -> list[list[str]]:
    """The rows of all routers on one set of questions; the best single expert is that of its kind of questions."""
    routed: dict[str, Found] = {}
    for seed in range(ASSIGNMENTS):
        train_rows, test_rows = assigned(len(usual.questions), seed)
        train = usual.take(train_rows)
        test = usual.take(test_rows) if test_data is usual else test_data
        at = test_rows if test_data is usual else np.arange(len(test.questions))
        here = np.isin(test.subjects, SAME_WORDS) if same_words else np.ones(len(at), dtype=bool)
        of_kind = np.isin(train.subjects, SAME_WORDS) if same_words else np.ones(len(train.subjects), dtype=bool)
        single = scored(test, best(train.scores[of_kind]))
        table = {subject: best(train.scores[train.subjects == subject]) for subject in set(train.subjects.tolist())}
        is_usual = test_data is usual
        choices = {str(router): choices_of(router, train, test, seed, is_usual) for router in (*READERS, *LOOKERS)}
        choices["the best of each subject"] = np.array([table[subject] for subject in test.subjects])
        for name, choice in choices.items():
            routed.setdefault(name, []).append((at[here], scored(test, choice)[here]))
        routed.setdefault("the best single expert", []).append((at[here], single[here]))
    found = []
    for name, of_splits in routed.items():
        against = {str(looks): str(reads) for looks, reads in zip(LOOKERS, READERS, strict=True)}.get(name)
        accuracy = f"{100 * by_question(of_splits)[1].mean():.1f}"
        gain = less(of_splits, routed["the best single expert"])
        found.append([name, accuracy, gain, less(of_splits, routed[against]) if against else "-"])
    return found


_CHOICES: dict[tuple[Router, int, bool], NDArray[np.intp]] = {}


def choices_of(router: Router, train: Data, test: Data, seed: int, is_usual: bool) -> NDArray[np.intp]:
    """`chosen`, once for each split assignment and set of test questions."""
    key = router, seed, is_usual
    if key not in _CHOICES:
        _CHOICES[key] = chosen(router, train, test)
    return _CHOICES[key]


def as_data(queries: Sequence[Query], scores: Floats) -> Data:
    questions = [RouterInput(query.text, query.choices, tuple(map(Picture.of, query.images))) for query in queries]
    return Data(questions, np.array([query.subject for query in queries]), scores)


def answered(queries: Sequence[Query], file: Path | None) -> Floats:
    """The scores (n, experts) of the demo experts; their answers are kept in a file if there is one."""
    if file is not None and file.exists():
        answers = json.loads(file.read_text())
    else:
        answers = {}
        for name in demo.STRONG:
            with EngineClient(ExpertSettings("transformers", str(demo.model_folder(name)))) as engine:
                requests = [Drawings().request(query, NO_SHOTS) for query in queries]
                parts = [requests[start : start + 160] for start in range(0, len(requests), 160)]
                completions = [one for part in parts for one in engine.run(part, Drawings.decoding)]
                answers[name] = [completion.text for completion in completions]
            print(f"{name} has answered", file=sys.stderr, flush=True)
        if file is not None:
            file.write_text(json.dumps(answers))
    score = Drawings().score
    return np.array(
        [[score(text, q).score for text, q in zip(answers[n], queries, strict=True)] for n in demo.STRONG]
    ).T


# --- published results ---------------------------------------------------------------------------------------------


def real(image_encoders: Sequence[str]) -> None:
    rows = []
    text = [Router(Level.SUBJECT, "tfidf"), Router(Level.QUERY, "tfidf")]
    for form in ("standard4", "standard10"):
        plain, with_types = mmmu_pro(form)
        rows += of_published(f"MMMU-Pro, {form}", dict.fromkeys(text, plain))
        named = {replace(router, reads="text and kind of picture"): with_types for router in text}
        rows += of_published(f"MMMU-Pro, {form}", named)
    whole, blind = math_v(keeps_text=True), math_v(keeps_text=False)
    looking = [(level, encoder) for level in Level for encoder in image_encoders]
    rows += of_published("MATH-V", dict.fromkeys(text, whole))
    rows += of_published("MATH-V", {Router(level, "vision", "picture", encoder): blind for level, encoder in looking})
    both = {Router(level, "vision", "text and picture", encoder): whole for level, encoder in looking}
    rows += of_published("MATH-V", both)
    rows += of_published("BLINK", {Router(Level.SUBJECT, "tfidf", "name of the subject"): blink()})
    print("## Published results: gain over the best single expert\n")
    markdown(["results", "questions x experts", "router", "best single expert", "gain"], rows)


def of_published(name: str, routers: Mapping[Router, Data]) -> list[list[str]]:
    rows = []
    for router, data in routers.items():
        routed: Found = []
        single: Found = []
        for seed in range(ASSIGNMENTS):
            train_rows, test_rows = assigned(len(data.questions), seed)
            train, test = data.take(train_rows), data.take(test_rows)
            expert = scored(test, best(train.scores))
            routed.append((test_rows, scored(test, chosen(router, train, test)) - expert))
            single.append((test_rows, expert))
        accuracy = f"{100 * by_question(single)[1].mean():.1f}"
        size = f"{data.scores.shape[0]:,} x {data.scores.shape[1]}"
        rows.append([name, size, str(router), accuracy, interval(routed)])
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    return rows


def mmmu_pro(form: str) -> tuple[Data, Data]:
    """MMMU-Pro, without and with the published kinds of its pictures as words of the text."""
    questions = json_lines(DATA / "mmmu_pro" / "questions.jsonl")
    scores = score_rows(DATA / "mmmu_pro" / f"{form}.scores.csv")
    known = [question for question in questions if question["id"] in scores]
    plain = Data(
        [RouterInput(question["question"], tuple(question["options"])) for question in known],
        np.array([question["subject"] for question in known]),
        np.array([scores[question["id"]] for question in known]),
    )
    kinds = [" ".join(kind.replace(" ", "") for kind in question["img_type"]) for question in known]
    named = [replace(one, text=f"{one.text} {kind}") for one, kind in zip(plain.questions, kinds, strict=True)]
    return plain, replace(plain, questions=named)


def math_v(*, keeps_text: bool) -> Data:
    questions = json_lines(DATA / "mathv" / "questions.jsonl")
    with (DATA / "mathv" / "scores.csv").open(encoding="utf-8") as file:
        blind = [column for column, name in enumerate(next(csv.reader(file))[1:]) if "Text" in name]
    scores = {key: np.delete(row, blind) for key, row in score_rows(DATA / "mathv" / "scores.csv").items()}
    known = [question for question in questions if question["id"] in scores]
    inputs = [
        RouterInput(
            question["question"] if keeps_text else "picture",
            tuple(question["options"]) if keeps_text else (),
            (Picture.of((DATA / "mathv" / question["image"]).read_bytes()),),
        )
        for question in known
    ]
    subjects = np.array([question["subject"] for question in known])
    return Data(inputs, subjects, np.array([scores[question["id"]] for question in known]))


def blink() -> Data:
    with (DATA / "blink" / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    inputs = [RouterInput(row[1].replace("_", " ")) for row in rows]
    return Data(inputs, np.array([row[1] for row in rows]), np.array([list(map(float, row[3:])) for row in rows]))


def json_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def score_rows(path: Path) -> dict[str, Floats]:
    """Question id -> the scores of every expert."""
    with path.open(encoding="utf-8") as file:
        return {row[0]: np.array(list(map(float, row[1:]))) for row in list(csv.reader(file))[1:]}


if __name__ == "__main__":
    main()
