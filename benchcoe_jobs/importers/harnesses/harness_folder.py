"""The files of runs of lm-eval and lmms-eval: which samples and which results belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from re import Pattern
from typing import Any, NamedTuple

from benchcoe_jobs.domain import Note
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import Item
from benchcoe_jobs.importers.harnesses import harness_runs
from benchcoe_jobs.importers.harnesses.harness_runs import Run
from benchcoe_jobs.importers.source import Source


class Layout(NamedTuple):
    """How a harness names its files: patterns of whole names, with the groups `task` and `time`.

    `untimed` is the name of results whose samples have no time in their name, if there are such.
    """

    samples: Pattern[str]
    results: Pattern[str]
    is_samples: Callable[[Source], bool]
    untimed: str | None = None

    def is_folder_of_samples(self, source: Source) -> bool:
        """Whether a folder is one import: it has samples and no folder in it, which could have others."""
        return not any(child.is_folder for child in source.children) and any(map(self.is_samples, source.children))

    def is_lonely(self, source: Source) -> bool:
        """Whether a file has the name of results, and no samples are in its folder."""
        path = source.path
        return self._time_of_results(path) is not None and not any(map(self._is_named_samples, path.parent.iterdir()))

    def read(
        self, source: Source, program: str, read_task: Callable[[Run, str | None], Iterator[Item]]
    ) -> Iterator[Item]:
        """What `read_task` yields for the newest run of each task, given the name of its file if there are several.

        Raises InputError for a file of results, in which `program` wrote no scores of questions.
        """
        if not source.is_folder and not self.is_samples(source):
            raise InputError(
                f"{source}: results without samples: {program} writes the score of each question with --log_samples; "
                "import-scores takes scores of subjects"
            )
        for run in self._runs(source):
            if isinstance(run, Note):
                yield run
            else:
                yield from read_task(run, run.samples.name if source.is_folder else None)

    def _runs(self, source: Source) -> Iterator[Run | Note]:
        """The newest run of each task, by the time in the names of files; a Note for each run that is passed over."""
        folder = source.path if source.is_folder else source.path.parent
        documents: dict[str, tuple[str, Mapping[str, Any]]] = {}
        newest: dict[tuple[str | None, str], tuple[str, Run]] = {}
        for path in source.files:
            if source.is_folder and not self.is_samples(Source(path)):
                continue
            named = self.samples.fullmatch(path.name)
            time = named["time"] if named else ""
            if time not in documents:
                documents[time] = self._results(folder, time)
            stated_in, results = documents[time]
            expert = harness_runs.model_name(results) or (folder.resolve().name if named else None)
            task = named["task"] if named else _task_at_end(path, results)
            run = Run(path, task, expert, results, stated_in)
            earlier = newest.get((expert, task))
            if earlier is not None:
                older = min(earlier, (time, run), key=lambda one: one[0])[1]
                yield Note(f"{older.samples.name}: passed over, because there is a newer run of {task}")
            if earlier is None or time > earlier[0]:
                newest[expert, task] = time, run
        for stated_in, results in documents.values():
            if not stated_in:
                yield Note("there are no results beside some of the samples, so that their means are not compared")
            elif harness_runs.has_random_name(results):
                name = harness_runs.model_name(results) or folder.resolve().name
                yield Note(f"{stated_in} names no model: {name!r} may be a random name")
        yield from (run for _, run in newest.values())

    def _results(self, folder: Path, time: str) -> tuple[str, Mapping[str, Any]]:
        for path in sorted(folder.iterdir()):
            if self._time_of_results(path) == time:
                return path.name, harness_runs.results_document(path)
        return "", {}

    def _time_of_results(self, path: Path) -> str | None:
        if path.name == self.untimed:
            return ""
        found = None if self._is_named_samples(path) else self.results.fullmatch(path.name)
        return found["time"] if found else None

    def _is_named_samples(self, path: Path) -> bool:
        return self.samples.fullmatch(path.name) is not None


def _task_at_end(path: Path, results: Mapping[str, Any]) -> str:
    """The task in a name like pretrained=org__model_TASK.jsonl: both may have underscores, so the results tell."""
    stem = path.name.partition(".jsonl")[0].removesuffix(".json")
    tasks = [task for task in results.get("results", {}) if stem == task or stem.endswith(f"_{task}")]
    return max(tasks, key=len, default=stem)
