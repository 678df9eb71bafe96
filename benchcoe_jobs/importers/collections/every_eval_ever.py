"""every_eval_ever 0.2 and 0.3: UUID.json, an aggregate, and UUID_samples.jsonl, one object per question.

The benchmark is the data set that the aggregate names, or else the evaluation; the subject is `metadata.subject`, or
else the evaluation. The key is `sample_id`, or EVALUATION/SAMPLE_ID if evaluations of a file have the same sample ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchcoe_jobs.domain import Note, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.cells import member, plain
from benchcoe_jobs.importers.opening import opening, within
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, quoted
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.reading.rows import converted, every_row
from benchcoe_jobs.importers.source import Source

_SAMPLE = {"schema_version", "evaluation_id", "model_id", "sample_id", "evaluation"}
_AGGREGATE = {"schema_version", "evaluation_id", "model_info"}
_END = "_samples.jsonl"


class EveryEvalEverImporter:
    """The format `every-eval-ever`: a file of samples, an aggregate, or a folder with both."""

    def recognise(self, source: Source) -> str | None:
        """By the members of an aggregate and of the first sample. A folder must have such files only."""
        if not source.is_folder:
            return _kind(source)
        children = source.children
        if len(children) > 1 and all(not child.is_folder and _kind(child) for child in children):
            return "it has aggregates and samples of every_eval_ever"
        return None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The samples of one metric of each evaluation. An aggregate without samples has no scores of questions."""
        options.require_only("every-eval-ever", "metric", "scale", "subject_from")
        samples, lonely = [], []
        for path in source.files:
            if path.name.endswith(".jsonl"):
                samples.append(path)
            elif (beside := path.with_name(path.stem + _END)).is_file():
                samples += [beside] if not source.is_folder else []
            else:
                lonely.append(path.name)
        if lonely and not samples:
            raise InputError(
                f"{source}: an aggregate without the file of its samples, so without scores of questions: import-scores"
                " takes scores of subjects"
            )
        if lonely:
            yield Note(f"{', '.join(lonely[:5])}: passed over, because the file of samples is missing")
        for path in samples:
            yield from _Samples(path, options).read(path.name if source.is_folder else None)


class _Samples:
    """One file of samples, and its aggregate if it is beside it."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = options
        self._aggregate = _aggregate(path)
        self._results = _evaluations(path, self._aggregate)
        self._evaluation_of: dict[str, str] = {}
        self._has_same_ids = False
        self._chosen = self._choose()

    def read(self, file: str | None) -> Iterator[Item]:
        duplicates = DuplicateGuard()
        n_errors = 0
        sums: dict[tuple[str, str], list[float]] = {}

        def result(line: int, row: Row) -> Result | None:
            nonlocal n_errors
            evaluation = columns.required(row, "evaluation_name")
            identity = columns.name(row, "evaluation_result_id") or evaluation
            if self._chosen.get(evaluation, identity) != identity:
                return None
            model = columns.required(row, "model_id")
            key = columns.required(row, "sample_id")
            duplicates.claim(line, f"sample {quoted(key)}", model, evaluation, key)
            n_errors += bool(row.get("error"))
            made = self._result(line, row, evaluation, identity, model, key, file)
            sums.setdefault((model, identity), []).append(made.score or 0.0)
            return made

        yield from filter(None, converted(self._path, every_row(self._path), result, file))
        if n_errors:
            yield Note(f"{n_errors} samples have an error, and the score that the file gives them")
        for (model, identity), scores in sums.items():
            yield from self._mean(model, identity, scores)

    def _result(
        self, line: int, row: Row, evaluation: str, identity: str, model: str, key: str, file: str | None
    ) -> Result:
        given, usage, metadata = member(row, "input"), member(row, "token_usage"), member(row, "metadata")
        source = within(self._results.get(identity, {}).get("source_data"))
        found = {
            "key": f"{evaluation}/{key}" if self._has_same_ids else key,
            "subject": cells.subject(metadata, self._options.subject_from, metadata.get("subject") or evaluation),
            "text": given.get("raw"),
            "choices": given.get("choices"),
            "answer": plain(given.get("reference") or None),
            "score": member(row, "evaluation").get("score"),
            "response": plain(_response(row)),
            "prompt_tokens": usage.get("input_tokens"),
            "completion_tokens": usage.get("output_tokens"),
        }
        benchmark = self._options.benchmark or columns.name(source, "dataset_name") or evaluation
        return cells.result(line, found, benchmark, expert=model, scale=self._options.scale, task=identity, file=file)

    def _choose(self) -> dict[str, str]:
        """Evaluation name -> the result whose metric is used, for evaluations with several of them."""
        found: dict[str, dict[str, None]] = {}
        for row in every_row(self._path):
            if isinstance(row, tuple):
                name, identity = row[1].get("evaluation_name"), row[1].get("evaluation_result_id")
                if not isinstance(name, str):
                    continue
                self._has_same_ids |= self._evaluation_of.setdefault(str(row[1].get("sample_id")), name) != name
                if isinstance(identity, str):
                    found.setdefault(name, {})[identity] = None
        chosen = {}
        for name, identities in found.items():
            metric = self._options.metric
            fitting = [one for one in identities if metric in (None, one, *self._metric(one))]
            if len(fitting) != 1:
                listed = ", ".join(quoted((*self._metric(one), one)[0]) for one in identities)
                raise InputError(f"{self._path}: {quoted(name)} has the metrics {listed}: --metric NAME chooses one")
            chosen[name] = fitting[0]
        for name, identity in chosen.items():
            if within(self._results.get(identity, {}).get("metric_config")).get("lower_is_better"):
                raise InputError(f"{self._path}: of the metric of {quoted(name)}, lower is better: it is no score")
        return chosen

    def _metric(self, identity: str) -> list[str]:
        config = within(self._results.get(identity, {}).get("metric_config"))
        names = (config.get(name) for name in ("metric_name", "metric_id"))
        return [name for name in names if isinstance(name, str)]

    def _mean(self, model: str, identity: str, scores: list[float]) -> Iterator[TaskMean | Note]:
        """The score of the aggregate. It says something about these samples if it is over as many."""
        evaluation = self._results.get(identity, {})
        details, config = within(evaluation.get("score_details")), within(evaluation.get("metric_config"))
        value, n = details.get("score"), within(details.get("uncertainty")).get("num_samples")
        if not isinstance(value, int | float) or isinstance(value, bool):
            return
        value = value / 100 if config.get("max_score") == 100 or config.get("metric_unit") == "percent" else value
        stated = f"the score of {identity} in the aggregate"
        if isinstance(n, int) and not isinstance(n, bool) and n > 0:
            yield TaskMean(model, identity, float(value), stated, n=n)
        elif abs(value - sum(scores) / len(scores)) > 1e-4:
            yield Note(
                f"{stated} is {value:.4g}, over a number of samples that it does not state; the mean of these "
                f"{len(scores)} is {sum(scores) / len(scores):.4g}"
            )


def _kind(source: Source) -> str | None:
    if source.suffix == ".jsonl" and set(source.columns) >= _SAMPLE:
        return "its objects have schema_version, sample_id and evaluation"
    if source.suffix == ".json" and opening(source).keys() >= _AGGREGATE:
        return "it is an aggregate with schema_version and model_info"
    return None


def _aggregate(samples: Path) -> dict[str, Any]:
    """The aggregate beside a file of samples; empty if there is none. Raises InputError if it is of other samples."""
    path = samples.with_name(f"{samples.name.removesuffix(_END)}.json")
    if not samples.name.endswith(_END) or not path.is_file():
        return {}
    document = read_document(path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: not an object")
    detailed = document.get("detailed_evaluation_results")
    if isinstance(detailed, dict) and detailed.get("hash_algorithm") == "sha256":
        with samples.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if isinstance(detailed.get("checksum"), str) and detailed["checksum"] != digest:
            raise InputError(f"{samples}: not the file whose SHA-256 is in {path.name}: it was changed or cut")
    return document


def _evaluations(path: Path, aggregate: Mapping[str, Any]) -> dict[str, Row]:
    """The evaluations of an aggregate by the id and by the name that samples refer to."""
    found: dict[str, Row] = {}
    evaluations = aggregate.get("evaluation_results", [])
    if not isinstance(evaluations, list) or not all(isinstance(one, dict) for one in evaluations):
        raise InputError(f"{path}: the evaluation_results of its aggregate are not a list of objects")
    for one in evaluations:
        for name in ("evaluation_name", "evaluation_result_id"):
            if isinstance(one.get(name), str):
                found[one[name]] = one
    return found


def _response(row: Row) -> Any:
    """The response: the output, or what the assistant said last in a conversation."""
    if output := member(row, "output"):
        return output.get("raw")
    messages = row.get("messages")
    said = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    return next((turn.get("content") for turn in reversed(said) if turn.get("role") == "assistant"), None)


EVERY_EVAL_EVER = EveryEvalEverImporter()
