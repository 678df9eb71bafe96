"""Run folders of HELM: run_spec.json, scenario_state.json, per_instance_stats.json and stats.json.

The benchmark is the scenario (`mmlu`), the subject its argument (`philosophy`). The key of a query is SUBJECT/ID, where
HELM's id is the place of the instance in its scenario. Perturbed copies of instances are passed over, and so are the
instances of a split that the published figures do not use.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchcoe_jobs.benchmarks.base import LETTERS
from benchcoe_jobs.domain import Note, Query, Result
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.harnesses import harness_runs
from benchcoe_jobs.importers.harnesses.harness_runs import member
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import Row, RowError
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

FORM = "helm"

_SPEC, _STATE, _SCORES, _STATS = "run_spec.json", "scenario_state.json", "per_instance_stats.json", "stats.json"
_SPLITS = ("test", "valid")
"""The split of the published figures: test, or valid in scenarios that have no other one."""

_METRICS = {
    "babi_qa": "quasi_exact_match",
    "boolq": "quasi_exact_match",
    "civil_comments": "quasi_exact_match",
    "commonsense": "exact_match",
    "entity_matching": "quasi_exact_match",
    "gpqa": "chain_of_thought_correctness",
    "gsm": "final_number_exact_match",
    "ifeval": "ifeval_strict_accuracy",
    "imdb": "quasi_exact_match",
    "legalbench": "quasi_exact_match",
    "lsat_qa": "quasi_exact_match",
    "math": "math_equiv_chain_of_thought",
    "med_qa": "quasi_exact_match",
    "mmlu": "exact_match",
    "mmlu_pro": "chain_of_thought_correctness",
    "narrative_qa": "f1_score",
    "natural_qa": "f1_score",
    "omni_math": "omni_math_accuracy",
    "quac": "f1_score",
    "raft": "quasi_exact_match",
    "truthful_qa": "exact_match",
    "wildbench": "wildbench_score_rescaled",
    "wmt_14": "bleu_4",
}
"""The metric of the published figure (crfm-helm: schema_classic.yaml, schema_lite.yaml, schema_capabilities.yaml)."""

_CHOICE = "multiple_choice"


@dataclass
class _Scores:
    """The statistics of an instance over its trials."""

    values: list[float] = field(default_factory=list)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class HelmImporter:
    """The format `helm`: the folder of one run."""

    def recognise(self, source: Source) -> str | None:
        """By the names of the files in a folder."""
        names = {child.path.name for child in source.children} if source.is_folder else set()
        return f"it has {_STATE} and {_SCORES}" if {_STATE, _SCORES} <= names else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The instances by one metric; those of several trials have the mean of their scores.

        Raises InputError if the folder is not a whole run, or if no rule names the metric.
        """
        options.require_only(FORM, "metric", "subject_from")
        if not source.is_folder:
            raise InputError(f"{source}: a run of HELM is a folder with {_SPEC}, {_STATE} and {_SCORES}")
        yield from _Run(source.path, options).read()


class _Run:
    """One run."""

    def __init__(self, folder: Path, options: ReadOptions) -> None:
        self._folder = folder
        spec = _document(folder / _SPEC, dict)
        state = _document(folder / _STATE, dict)
        self._states = _list_of_objects(folder / _STATE, state.get("request_states"))
        self._stats = _list_of_objects(folder / _SCORES, _document(folder / _SCORES, list))
        adapter = member(spec, "adapter_spec")
        name, model = spec.get("name"), adapter.get("model")
        if not isinstance(name, str) or not isinstance(model, str):
            raise InputError(f"{folder / _SPEC}: name or adapter_spec.model is missing or not text")
        self._model = model
        self._is_choice = str(adapter.get("method")).startswith(_CHOICE)
        self._scenario = name.partition(":")[0].partition(",")[0]
        self._benchmark = options.benchmark or harness_runs.own_name(self._scenario, FORM)
        self._subject = _subject(folder, member(member(spec, "scenario_spec"), "args"), self._scenario, options)
        self._task = f"{self._scenario}:{self._subject}" if self._subject != self._scenario else self._scenario
        splits = [member(one, "instance").get("split") for one in self._states]
        self._split = next((split for split in _SPLITS if split in splits), None)
        self._metric = self._chosen(options.metric)

    def read(self) -> Iterator[Item]:
        passed_over: Counter[str] = Counter()
        first: dict[str, tuple[int, Row]] = {}
        for line, state in enumerate(self._states, 1):
            instance = member(state, "instance")
            if instance.get("perturbation"):
                passed_over["perturbed copies of instances"] += 1
            elif instance.get("split") != self._split:
                passed_over[f"instances of the split {columns.quoted(instance.get('split'))}"] += 1
            else:
                first.setdefault(str(instance.get("id")), (line, state))
        scores = self._scores()

        def result(line: int, state: Row) -> Result:
            return self._result(line, state, scores)

        yield from converted(self._folder / _STATE, first.values(), result)
        for what, count in passed_over.items():
            yield Note(f"{self._task}: {what} are passed over ({count:,}): the published figures are without them")
        most = max((len(one.values) for one in scores.values()), default=0)
        if most > 1:
            yield Note(f"{self._task}: scores are means over up to {most} trials of each instance")
        if mean := self._mean():
            yield mean

    def _result(self, line: int, state: Row, scores: Mapping[str, _Scores]) -> Result:
        instance = member(state, "instance")
        key = columns.required(instance, "id")
        found = scores.get(key)
        if found is None or not found.values:
            raise RowError(f"it has no {self._metric}")
        completions = member(state, "result").get("completions")
        completion = completions[0] if isinstance(completions, list) and completions else None
        response = completion.get("text") if isinstance(completion, dict) else None
        is_one = len(found.values) == 1 and "reference_index" not in state
        return Result(
            line=line,
            benchmark=self._benchmark,
            query=self._query(instance, key),
            expert=self._model,
            text=response if is_one and isinstance(response, str) else None,
            score=columns.score({"score": sum(found.values) / len(found.values)}),
            prompt_tokens=found.prompt_tokens,
            completion_tokens=found.completion_tokens,
            task=self._task,
        )

    def _query(self, instance: Row, key: str) -> Query:
        listed = instance.get("references")
        references = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        texts = columns.texts("references", [member(one, "output").get("text") for one in references])
        tags = [one.get("tags") for one in references]
        correct = [place for place, one in enumerate(tags) if isinstance(one, list) and "correct" in one]
        if self._is_choice:
            answers = [LETTERS[place] if place < len(LETTERS) else texts[place] for place in correct]
        else:
            answers = [texts[place] for place in correct]
        answer = (answers[0] if len(answers) == 1 else json.dumps(answers, ensure_ascii=False)) if answers else None
        return Query(
            key=f"{self._subject}/{key}",
            subject=self._subject,
            text=_text(member(instance, "input")),
            choices=texts if self._is_choice else (),
            answer=answer or None,
        )

    def _scores(self) -> dict[str, _Scores]:
        """The score of each trial, and the tokens of the first one, by the id of the instance."""
        found: dict[str, _Scores] = {}
        for one in self._stats:
            if one.get("perturbation"):
                continue
            means = dict(self._means(one.get("stats")))
            scores = found.setdefault(str(one.get("instance_id")), _Scores())
            if self._metric in means:
                scores.values.append(means[self._metric])
            if len(scores.values) == 1:
                scores.prompt_tokens = _count(means.get("num_prompt_tokens"))
                scores.completion_tokens = _count(means.get("num_completion_tokens", means.get("num_output_tokens")))
        return found

    def _means(self, stats: object) -> Iterator[tuple[str, float]]:
        """The names and means of statistics over the split, without those over perturbed instances."""
        for one in stats if isinstance(stats, list) else []:
            name = member(one, "name") if isinstance(one, dict) else {}
            mean = harness_runs.number(one.get("mean")) if name else None
            if mean is not None and name.get("split") == self._split and not name.get("perturbation"):
                yield str(name.get("name")), mean

    def _chosen(self, wanted: str | None) -> str:
        found = list(dict.fromkeys(name for one in self._stats for name, _ in self._means(one.get("stats"))))
        metric = wanted or _METRICS.get(self._scenario) or ("exact_match" if self._is_choice else None)
        if metric in found:
            return str(metric)
        usual = [name for name in found if "match" in name or name.endswith(("_score", "accuracy", "correctness"))]
        reason = f"no metric {metric!r}" if metric else "no metric that a rule names"
        raise InputError(f"{self._folder}: the run has {reason}: --metric chooses one, such as {', '.join(usual[:8])}")

    def _mean(self) -> TaskMean | None:
        path = self._folder / _STATS
        if not path.is_file():
            return None
        means = dict(self._means(_document(path, list)))
        value = harness_runs.fraction(means.get(self._metric))
        if value is None:
            return None
        stated = f"{self._metric} of the split {self._split} in {_STATS}"
        return TaskMean(self._model, self._task, value, stated, n=_count(means.get("num_instances")))


def _subject(folder: Path, arguments: Mapping[str, Any], scenario: str, options: ReadOptions) -> str:
    """The argument of the scenario that --subject-from names, or `subject`, or the only one, or all of them."""
    if field := options.subject_from:
        if field not in arguments:
            raise InputError(
                f"{folder}: the scenario has no argument {field!r}; it has {', '.join(arguments) or 'none'}"
            )
        return str(arguments[field])
    if "subject" in arguments or len(arguments) == 1:
        return str(arguments.get("subject", next(iter(arguments.values()))))
    return ",".join(f"{name}={value}" for name, value in arguments.items()) or scenario


def _text(given: Mapping[str, Any]) -> str:
    text = columns.text(given, "text")
    if text is None:
        media = member(given, "multimedia_content").get("media_objects")
        texts = [one.get("text") for one in media if isinstance(one, dict)] if isinstance(media, list) else []
        text = columns.checked("input", "\n".join(part for part in texts if isinstance(part, str)))
    if not text:
        raise RowError("input.text is empty")
    return text


def _count(value: float | None) -> int | None:
    return round(value) if value is not None and 0 <= value <= columns.MAX_COUNT else None


def _document(path: Path, kind: type) -> Any:
    document = read_document(path)
    if not isinstance(document, kind):
        raise InputError(f"{path}: it is not {'an object' if kind is dict else 'a list'}")
    return document


def _list_of_objects(path: Path, value: object) -> list[Row]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InputError(f"{path}: it has no list of objects where one should be")
    return value


HELM = HelmImporter()
