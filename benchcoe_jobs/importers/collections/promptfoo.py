"""The results of promptfoo (promptfoo eval -o FILE.json), versions 2 and 3 of its output.

A test case is a query: `testIdx` is the key, `metadata.subject` or `metadata.category` of the test the subject, and the
label of the provider the expert. A test without an assertion passes whatever the answer is, so it has no score.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from benchcoe_jobs.domain import Result
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.importers import cells
from benchcoe_jobs.importers.base import Item, ReadOptions, TaskMean
from benchcoe_jobs.importers.cells import member, plain
from benchcoe_jobs.importers.opening import opening, within
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError, quoted
from benchcoe_jobs.importers.reading.documents import read_document
from benchcoe_jobs.importers.reading.rows import converted
from benchcoe_jobs.importers.source import Source

_ERROR = 2
"""The failure reason of a test whose request failed."""

_SUBJECT = ("subject", "category", "topic")


class PromptfooImporter:
    """The format `promptfoo`."""

    def recognise(self, source: Source) -> str | None:
        """By the members of the document."""
        if source.suffix != ".json":
            return None
        inner = within(opening(source).get("results"))
        known = "version" in inner and {"prompts", "results", "stats"} & inner.keys()
        return f"its results have version {quoted(inner['version'])} of promptfoo" if known else None

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """One result per test case and provider: its weighted score, or the named score that --metric chooses.

        If providers were asked with several prompts, --filter chooses the prompt by its label.
        """
        options.require_only("promptfoo", "metric", "filter", "subject_from")
        document = read_document(source.path)
        inner = within(document.get("results")) if isinstance(document, dict) else {}
        rows = inner.get("results")
        if not isinstance(rows, list):
            raise InputError(f"{source}: it has no list of results")
        yield from _Evaluation(source, options, rows, inner.get("prompts")).items()


class _Evaluation:
    def __init__(self, source: Source, options: ReadOptions, rows: list[Any], prompts: Any) -> None:
        self._source = source
        self._options = options
        self._rows = rows
        self._prompts = prompts if isinstance(prompts, list) else []
        self._benchmark = options.benchmark or PurePosixPath(source.name).stem
        self._duplicates = DuplicateGuard()
        self._unasserted: set[str] = set()

    def items(self) -> Iterator[Item]:
        chosen = self._chosen_prompts()
        rows = [
            (line, row) for line, row in enumerate(self._rows, 1) if not isinstance(row, dict) or _label(row) in chosen
        ]
        experts: dict[str, str] = {}
        for item in converted(self._source.path, iter(rows), self._result):
            if isinstance(item, Result) and item.task and item.expert:
                experts[item.task] = item.expert
            yield item
        if self._options.metric is None:
            yield from self._means(experts)

    def _chosen_prompts(self) -> set[str]:
        labels = dict.fromkeys(_label(row) for row in self._rows if isinstance(row, dict))
        wanted = self._options.filter
        if wanted is not None and wanted not in labels:
            raise UsageError(f"{self._source}: no prompt is called {quoted(wanted)}: it has {_listed(labels)}")
        tests: dict[tuple[str, str], str] = {}
        for row in self._rows if wanted is None else []:
            if isinstance(row, dict):
                test = (plain(_provider(row)) or "", str(row.get("testIdx")))
                if tests.setdefault(test, _label(row)) != _label(row):
                    raise UsageError(f"{self._source}: the tests have several prompts: --filter LABEL chooses one")
        return set(labels) if wanted is None else {wanted}

    def _result(self, line: int, row: Row) -> Result:
        if not isinstance(row, dict):
            raise RowError("not an object")
        expert, task = _provider(row), f"prompt {row.get('promptIdx')}"
        test, response = member(row, "testCase"), member(row, "response")
        key = plain(row.get("testIdx"))
        if row.get("failureReason") == _ERROR or (row.get("error") and not response.get("output")):
            raise RowError(f"its request failed: {quoted(row.get('error') or response.get('error'))}")
        if not test.get("assert") and not member(row, "gradingResult").get("componentResults"):
            self._unasserted.add(task)
            raise RowError("it has no assertion that its answer could fail")
        usage, metadata = member(response, "tokenUsage"), {**member(row, "vars"), **member(test, "metadata")}
        named = next((metadata[name] for name in _SUBJECT if metadata.get(name)), self._benchmark)
        found = {
            "key": key,
            "subject": cells.subject(metadata, self._options.subject_from, named),
            "text": plain(member(row, "prompt").get("raw")),
            "answer": _expected(test.get("assert")),
            "score": self._score(row),
            "response": plain(response.get("output")),
            "prompt_tokens": usage.get("prompt"),
            "completion_tokens": usage.get("completion"),
            "cost": row.get("cost"),
        }
        made = cells.result(
            line, found, self._benchmark, expert=columns.name({"provider": expert}, "provider"), task=task
        )
        self._duplicates.claim(line, f"test {key}", expert, made.query.key)
        return made

    def _score(self, row: Row) -> Any:
        metric = self._options.metric
        if metric is None:
            return row.get("score")
        return row.get("success") if metric == "success" else member(row, "namedScores").get(metric)

    def _means(self, experts: dict[str, str]) -> Iterator[TaskMean]:
        """The sums of scores that the document states for each prompt and provider."""
        for number, prompt in enumerate(self._prompts):
            metrics = within(within(prompt).get("metrics"))
            counts = [metrics.get(f"test{what}Count") for what in ("Pass", "Fail")]
            total, task = metrics.get("score"), f"prompt {number}"
            if not all(isinstance(value, int | float) for value in (*counts, total)) or task in self._unasserted:
                continue
            n = sum(counts)  # type: ignore[arg-type]
            if task in experts and n:
                stated = f"the score of {prompt.get('provider')} in its metrics"
                yield TaskMean(experts[task], task, total / n, stated, n=n)  # type: ignore[operator]


def _provider(row: Row) -> Any:
    provider = row.get("provider")
    return provider.get("label") or provider.get("id") if isinstance(provider, dict) else provider


def _label(row: Row) -> str:
    """The label of the prompt, from which the question was made."""
    return str(within(row.get("prompt")).get("label") or "")


def _expected(assertions: Any) -> str | None:
    """The expected answer, if a test has exactly one assertion and this is that the answer equals it."""
    if isinstance(assertions, list) and len(assertions) == 1 and within(assertions[0]).get("type") == "equals":
        return plain(assertions[0].get("value"))
    return None


def _listed(labels: dict[str, None]) -> str:
    return ", ".join(quoted(label) for label in list(labels)[:5])


PROMPTFOO = PromptfooImporter()
