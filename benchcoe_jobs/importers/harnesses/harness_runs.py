"""What lm-eval and lmms-eval write about a run beside its samples: model, groups, metrics and their means."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Note
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import ReadOptions, TaskMean
from benchcoe_jobs.importers.reading.documents import read_document

COLLECTIONS = ("leaderboard",)
"""Groups of whole benchmarks, which are not one themselves."""

PUBLISHED = {
    "arc_challenge": "acc_norm",
    "arc_easy": "acc",
    "hellaswag": "acc_norm",
    "ifeval": "prompt_level_strict_acc",
    "leaderboard_bbh": "acc_norm",
    "leaderboard_gpqa": "acc_norm",
    "leaderboard_ifeval": "prompt_level_strict_acc",
    "leaderboard_musr": "acc_norm",
    "openbookqa": "acc_norm",
    "piqa": "acc",
    "sciq": "acc",
}
"""The metric of the published figure, by the beginning of the name of a task that has several."""

_NO_SCORES = {"bits", "brier", "cer", "distance", "loss", "perplexity", "ppl", "ter", "wer"}
"""Words in the names of metrics of which less is better."""

_NAME_ARGUMENTS = ("peft", "delta", "pretrained", "model", "path", "engine")
"""The model arguments that may name the model, in the order in which lm-eval looks for them."""


@dataclass(frozen=True)
class Run:
    """The samples of one task, and the document with the results of the run, if there is one."""

    samples: Path
    task: str
    expert: str | None
    results: Mapping[str, Any] = field(default_factory=dict)
    stated_in: str = ""

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of the task; empty if it is unknown."""
        return member(member(self.results, "configs"), self.task)

    def benchmark(self, form: str) -> str:
        """The group of the task that is in no other one, or the task itself."""
        subtasks = member(self.results, "group_subtasks")
        name, seen = self.task, {self.task}
        while True:
            groups = (
                group
                for group, tasks in subtasks.items()
                if group not in COLLECTIONS and group not in seen and isinstance(tasks, list) and name in tasks
            )
            if (group := next(groups, None)) is None:
                return own_name(name, form)
            name = group
            seen.add(group)

    def group_metrics(self) -> set[str]:
        """The metrics that the groups of the task are summed up by."""
        subtasks = member(self.results, "group_subtasks")
        groups = [group for group, tasks in subtasks.items() if isinstance(tasks, list) and self.task in tasks]
        return {name for group in groups for name, _ in self._stated(group)}

    def filters(self) -> list[str]:
        """The filters of the task in their order; empty if they are unknown."""
        return list(dict.fromkeys(name for _, name in self._stated(self.task)))

    def mean(self, metric: str, filter_name: str) -> TaskMean | Note | None:
        """The mean of a metric that the results state; a remark if it is not a number in [0, 1]."""
        figure = self._stated(self.task).get((metric, filter_name))
        if figure is None:
            return None
        sizes = member(member(self.results, "n-samples"), self.task)
        n = sizes.get("effective")
        stated = f"{metric},{filter_name} of {self.task} in {self.stated_in}"
        if (value := fraction(figure)) is None:
            return Note(not_comparable(stated, figure))
        return TaskMean(self.expert, self.task, value, stated, n=n if type(n) is int else None)

    def _stated(self, task: str) -> dict[tuple[str, str], object]:
        """(metric, filter) -> mean. The keys of lm-eval 0.4 and later are "metric,filter"."""
        found: dict[tuple[str, str], object] = {}
        for key, value in member(member(self.results, "results"), task).items():
            metric, _, name = key.partition(",")
            if name and not metric.endswith("_stderr"):
                found[metric, name] = value
        return found

    def is_score(self, metric: str) -> bool:
        """Whether a metric is a score, as far as its name and the results tell: more of it is better."""
        if _NO_SCORES & set(re.split(r"[\W_]+", metric.lower())):
            return False
        return member(member(self.results, "higher_is_better"), self.task).get(metric) is not False

    def is_mean(self, metric: str) -> bool:
        """Whether the figure of a metric is the mean of its rows, as far as the results tell."""
        listed = self.config.get("metric_list")
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict) and entry.get("metric") == metric:
                return bool(entry.get("aggregation", "mean") == "mean")
        return True


def chosen_metric(run: Run, found: Sequence[str], options: ReadOptions) -> str:
    """The metric of a task that is its score: the only one, that of --metric, or that of the published figure.

    Raises InputError, which lists the metrics, if no rule names one.
    """
    usable = [name for name in found if run.is_score(name)]
    if options.metric in usable:
        return str(options.metric)
    if len(usable) == 1:
        return usable[0]
    where = f"{run.samples}: task {run.task}"
    if not usable:
        raise InputError(f"{where} has no metric that is a score between 0 and 1; its metrics are {_listed(found)}")
    if options.metric:
        raise InputError(f"{where} has no metric {options.metric!r}; it has {_listed(usable)}")
    for start in sorted(PUBLISHED, key=len, reverse=True):
        if run.task.startswith(start) and PUBLISHED[start] in usable:
            return PUBLISHED[start]
    by_group = run.group_metrics() & set(usable)
    if len(by_group) == 1:
        return by_group.pop()
    raise InputError(f"{where} has several metrics: --metric chooses one of {_listed(usable)}")


def metric_notes(task: str, metric: str, options: ReadOptions) -> Iterator[Note]:
    """A remark if the scores of a task are not of the metric that the command names, because the task lacks it."""
    if options.metric not in (None, metric):
        yield Note(f"{task}: scores of its metric {metric}, because it has no metric {options.metric!r}")


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def fraction(value: object) -> float | None:
    """A number in [0, 1]; None for anything else."""
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def not_comparable(stated: str, figure: object) -> str:
    """The remark on a stated mean that cannot be compared with the rows."""
    return f"{stated} is {reprlib.repr(figure)}, not a number from 0 to 1, so it is not compared with the rows"


def not_a_mean(task: str, metric: str) -> str:
    """The remark on a metric whose figure is not compared with the rows of its task."""
    return f"{task}: the figure of {metric} is not the mean of its rows, so it is not compared with them"


def results_document(path: Path) -> Mapping[str, Any]:
    """The document with the results of a run. Raises InputError."""
    document = read_document(path)
    if not isinstance(document, dict) or not isinstance(document.get("results"), dict):
        raise InputError(f"{path}: it has no results")
    return document


def model_name(results: Mapping[str, Any]) -> str | None:
    """The name of the model of a run, from the results; None if they do not have one."""
    name = results.get("model_name")
    return name if isinstance(name, str) and name else argument_name(results)


def has_random_name(results: Mapping[str, Any]) -> bool:
    """Whether the arguments of the run name no model: lm-eval then makes up a name."""
    return "model_args" in member(results, "config") and argument_name(results) is None


def argument_name(results: Mapping[str, Any]) -> str | None:
    """The name of the model in the arguments of the run; None for a model without a name, such as lm-eval's dummy."""
    arguments = member(results, "config").get("model_args")
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    if not isinstance(arguments, dict):
        return None
    return next((str(arguments[key]) for key in _NAME_ARGUMENTS if arguments.get(key)), None)


def own_name(name: str, form: str) -> str:
    """The name of a benchmark, with that of the format behind it if the program has another one of that name.

    The program's own benchmark has other keys and prompts, so its results must not be mixed with these.
    """
    return f"{name}-{form}" if name in registry.names("benchmarks") else name


def member(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within an object; empty if it is missing or something else."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
