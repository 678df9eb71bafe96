"""Logs of inspect_ai: .eval (a zip with a header and the samples), or .json with both.

The key of a query is TASK/ID; the subject is `subject` or `category` in the metadata of a sample, or else the task. The
score of a query that was asked in several epochs is their mean, as in inspect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import Note, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.harnesses import harness_runs, inspect_sample
from benchcoe_jobs.importers.harnesses.harness_runs import member
from benchcoe_jobs.importers.harnesses.inspect_known import known_result
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.reading.documents import json_document, read_document
from benchcoe_jobs.importers.reading.members import open_members
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

FORM = "inspect"

_JSON = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*\{\s*(?:"version"\s*:\s*\d+\s*,\s*)?"status"\s*:\s*"\w+"\s*,\s*"eval"\s*:\s*\{'
)
_HEADER, _START, _SAMPLES = "header.json", "_journal/start.json", "samples/"
_MEANS = ("accuracy", "mean")
"""Metrics that are the mean of the scores of all samples."""


@dataclass
class _Epochs:
    """The results of a sample that were read so far."""

    first: Result
    total: float = 0.0
    n: int = 0


class InspectImporter:
    """The format `inspect`: one log."""

    def recognise(self, source: Source) -> str | None:
        """By the ending of a zip, or by the first members of a JSON document."""
        if source.is_folder:
            return None
        if source.path.suffix.lower() == ".eval":
            return "its name ends with .eval"
        return "it begins with the status and the eval of a log" if _JSON.match(source.head) else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The samples of a log by one scorer; of several, it is the one of the headline, or --metric names it."""
        options.require_only(FORM, "metric", "subject_from")
        path = source.path
        if path.suffix.lower() != ".eval":
            log = _object(path, read_document(path))
            samples = log.get("samples")
            listed = samples if isinstance(samples, list) else []
            yield from _Log(path, log, options).read(enumerate(listed, 1))
            return
        with open_members(path) as members:
            header = next((name for name in (_HEADER, _START) if name in members.names), None)
            if header is None:
                raise InputError(f"{path}: the zip has no {_HEADER}, so it is not a log of inspect")
            log = _object(path, json_document(path, members.read(header)))
            names = [name for name in members.names if name.startswith(_SAMPLES) and name.endswith(".json")]
            rows = ((line, json_document(path / name, members.read(name))) for line, name in enumerate(names, 1))
            yield from _Log(path, log, options).read(rows)


class _Log:
    """The samples of one log."""

    def __init__(self, path: Path, log: Mapping[str, Any], options: ReadOptions) -> None:
        self._path = path
        self._log = log
        self._options = options
        evaluation = _object(path, log.get("eval"))
        names = evaluation.get("model"), evaluation.get("task")
        if not all(isinstance(name, str) and name for name in names):
            raise InputError(f"{path}: the log names no model or no task")
        self._model, self._task = map(str, names)
        self._name = self._task.rpartition("/")[2]
        self._results: Mapping[str, Any] = log["results"] if isinstance(log.get("results"), dict) else {}
        epochs = member(evaluation, "config").get("epochs")
        self._has_epochs = isinstance(epochs, int) and epochs > 1
        self._scorer: tuple[str, str | None] | None = None
        self._others: list[str] = []
        self._duplicates = DuplicateGuard()

    def read(self, samples: Iterator[tuple[int, Any]]) -> Iterator[Item]:
        n_samples = n_scored = 0
        by_key: dict[str, _Epochs] = {}
        for item in converted(self._path, samples, self._result):
            n_samples += 1
            if not isinstance(item, Result):
                yield item
                continue
            n_scored += 1
            if not self._has_epochs:
                yield item
                continue
            one = by_key.setdefault(item.query.key, _Epochs(item))
            one.total += item.score if item.score is not None else item.file_score or 0.0
            one.n += 1
        if not n_scored:
            raise InputError(f"{self._path}: nothing was imported: {_reason(n_samples, self._scorer)}")
        for one in by_key.values():
            yield one.first._replace(score=one.total / one.n, text=None, claimed=None, file_score=None)
        yield from self._remarks(n_samples, by_key)
        if mean := self._mean():
            yield mean

    def _remarks(self, n_samples: int, by_key: Mapping[str, _Epochs]) -> Iterator[Note]:
        if (status := self._log.get("status")) != "success":
            total = self._results.get("total_samples")
            of = f" of {total:,}" if isinstance(total, int) and total >= n_samples else ""
            yield Note(
                f"the log has the status {columns.quoted(status)}: it may be a part, with {n_samples:,}{of} samples"
            )
        if by_key:
            counts = sorted({one.n for one in by_key.values()})
            yield Note(
                f"scores are means over {' to '.join(map(str, {counts[0]: 0, counts[-1]: 0}))} epochs of each sample"
            )
        if self._others and self._scorer:
            yield Note(f"scores of {_label(self._scorer)}, not of {', '.join(self._others)} (--metric chooses)")

    def _result(self, line: int, sample: Any) -> Result:
        if not isinstance(sample, dict):
            raise RowError("not an object")
        key = columns.required(sample, "id")
        epoch = columns.count(sample, "epoch", least=0)
        self._duplicates.claim(line, f"sample {key}, epoch {epoch}", key, epoch)
        if self._scorer is None:
            self._scorer = self._chosen(sample)
        score, claimed = inspect_sample.score(sample, *self._scorer)
        usage = inspect_sample.usage(sample, self._model)
        result = Result(
            line=line,
            benchmark=self._options.benchmark or harness_runs.own_name(self._name, FORM),
            query=inspect_sample.query(sample, f"{self._name}/{key}", self._name, self._options.subject_from),
            expert=self._model,
            text=inspect_sample.response(sample),
            score=score,
            claimed=claimed,
            prompt_tokens=columns.count(usage, "input_tokens", least=0),
            completion_tokens=columns.count(usage, "output_tokens", least=0),
            cost=columns.cost({"cost": usage.get("total_cost")}),
            task=self._name,
        )
        known = None if self._options.benchmark else known_result(self._task, sample, result)
        return result if known is None else known

    def _chosen(self, sample: Row) -> tuple[str, str | None]:
        """The scorer, and the name of its score if it gives several. Raises RowError if the sample is not scored."""
        found = list(inspect_sample.score_names(sample))
        if not found:
            raise RowError("it ended with an error" if sample.get("error") else "it is not scored")
        wanted = self._options.metric
        headline = member(self._results, "headline")
        chosen = [one for one in found if wanted in (one[0], one[1], _label(one))] if wanted else found
        if len(chosen) != 1 and not wanted and isinstance(headline.get("scorer"), str):
            named = headline.get("scorer"), headline.get("score")
            chosen = [(scorer, name) for scorer, name in found if named in ((scorer, name), (scorer, scorer))]
        if len(chosen) != 1:
            raise InputError(
                f"{self._path}: --metric chooses one of its scores: {', '.join(_label(one) for one in found)}"
            )
        self._others = [_label(one) for one in found if one != chosen[0]]
        return chosen[0]

    def _mean(self) -> TaskMean | Note | None:
        """The accuracy or mean of the scorer in the results, over the means of epochs."""
        if self._scorer is None:
            return None
        scorer, name = self._scorer
        listed = self._results.get("scores")
        for one in listed if isinstance(listed, list) else []:
            if not isinstance(one, dict) or one.get("scorer", scorer) != scorer or one.get("name") != (name or scorer):
                continue
            if one.get("reducer") not in (None, "mean"):
                continue
            metrics = member(one, "metrics")
            metric = next((metric for metric in _MEANS if metric in metrics), None)
            figure = member(metrics, metric).get("value") if metric else None
            if figure is not None:
                n = one.get("scored_samples")
                stated = f"{metric} of {_label(self._scorer)} in the log"
                if (value := harness_runs.fraction(figure)) is None:
                    return Note(harness_runs.not_comparable(stated, figure))
                return TaskMean(self._model, self._name, value, stated, n=n if type(n) is int else None)
        return None


def _label(scorer: tuple[str, str | None]) -> str:
    return scorer[0] if scorer[1] is None else f"{scorer[0]}/{scorer[1]}"


def _reason(n_samples: int, scorer: tuple[str, str | None] | None) -> str:
    if not n_samples:
        return "the log has no samples (log_samples was off, or it is a header alone)"
    if scorer is None:
        return "no sample is scored; the command 'inspect score' scores a log"
    return f"none of its {n_samples:,} samples can be used"


def _object(path: Path, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a log of inspect: it has no object where one should be")
    return value


INSPECT = InspectImporter()
