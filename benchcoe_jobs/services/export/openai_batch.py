"""Input files of the OpenAI batch API: the questions of a benchmark, with the prompts that `profile` would send.

The custom_id of a question is BENCHMARK/KEY. import-results reads the output file back, and the benchmark scores it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Decoding, Request, Split
from benchcoe_jobs.engines.messages import endpoint_messages, sent_images
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.backends import slugs
from benchcoe_jobs.services.batch.openai_format import CHAT, MOST_LINES
from benchcoe_jobs.services.export.base import Exported, ExportRequest, Output
from benchcoe_jobs.services.export.json_text import json_line
from benchcoe_jobs.services.export.selection import Selection, select
from benchcoe_jobs.services.inference.plan import PromptPlan, prompt_plan
from benchcoe_jobs.services.routing.decider import current_decider
from benchcoe_jobs.store.results import catalog, experts, prompt_inputs
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

_QUERIES_AT_ONCE = 500


class _OpenAIBatch:
    options: frozenset[str] = frozenset()

    def is_folder(self, request: ExportRequest) -> bool:
        """With a router one file, in which each question goes to its expert; otherwise a file for each expert."""
        return request.router is None

    def write(self, store: Store, home: Path, request: ExportRequest, output: Output) -> Exported:
        """See `Exporter.write`."""
        with store.reading() as connection:
            selection = select(connection, request)
            questions = _questions(connection, selection)
            model_of = {name: _model(connection, name) for name in selection.members}
        if selection.router is not None:
            decider = current_decider(store, home, selection.router.name)
            choices = decider.choose([question.router_input for question in questions])
            files = {"": [model_of[choice.expert] for choice in choices]}
        else:
            files = {f"{short}.jsonl": [model_of[name]] * len(questions) for name, short in slugs(model_of).items()}
        with store.reading() as connection:
            plan = _plan(connection, selection, questions)
            for name, models in files.items():
                with output.create(name) as file:
                    for line in _lines(connection, selection.scope.benchmark, plan, questions, models):
                        file.write(json_line(line))
        notes = () if plan else (f"{selection.scope.benchmark} has no scorer here: its answers cannot be imported",)
        what = counted(len(questions), "question")
        by = f"for each of {counted(len(files), 'expert')}" if selection.router is None else "for the chosen experts"
        return Exported(f"{what} of {selection.scope.benchmark} {by}", {"questions": len(questions)}, notes)


OPENAI_BATCH = _OpenAIBatch()


def _questions(connection: Connection, selection: Selection) -> list[Question]:
    """The questions of a split: by default test for a router, and all for a pool."""
    scope = selection.scope
    default = list(Split) if selection.router is None else [Split.TEST]
    splits = default if selection.split is None else [Split(selection.split)]
    found = [one for split in splits for one in catalog.questions(connection, scope.benchmark_id, split.value)]
    where = f"{scope.benchmark}, split {' and '.join(splits)}"
    if not found:
        raise UsageError(f"{where}, has no query with a text")
    if len(found) > MOST_LINES:
        raise UsageError(
            f"{where}, has {len(found):,} questions, and a file takes {MOST_LINES:,}: name one with --split"
        )
    return found


def _model(connection: Connection, name: str) -> str:
    expert = experts.read_expert(connection, name)[1]
    return expert.model or name


def _plan(connection: Connection, selection: Selection, questions: Sequence[Question]) -> PromptPlan | None:
    """How the questions are asked; None for a benchmark without a prompt, whose questions are sent as they are."""
    scope = selection.scope
    if scope.benchmark not in registry.names("benchmarks"):
        return None
    return prompt_plan(connection, scope.benchmark_id, scope.benchmark, questions)


def _lines(
    connection: Connection,
    benchmark: str,
    plan: PromptPlan | None,
    questions: Sequence[Question],
    models: Sequence[str],
) -> Iterator[dict[str, Any]]:
    body_of: Callable[[Request], dict[str, Any]] = _body(plan.benchmark.decoding if plan else Decoding())
    for start in range(0, len(questions), _QUERIES_AT_ONCE):
        part = questions[start : start + _QUERIES_AT_ONCE]
        contents = prompt_inputs.contents(connection, [question.id for question in part])
        for question, model in zip(part, models[start:], strict=False):
            query = contents[question.id]
            request = plan.request(query) if plan else Request(question.router_input.whole, images=query.images)
            if request.continuations:
                raise UsageError(f"{benchmark} is scored by log-likelihoods, which the batch API does not return")
            yield {
                "custom_id": f"{benchmark}/{question.key}",
                "method": "POST",
                "url": CHAT,
                "body": {"model": model, **body_of(request)},
            }


def _body(decoding: Decoding) -> Callable[[Request], dict[str, Any]]:
    fixed: dict[str, Any] = {"temperature": decoding.temperature}
    if decoding.max_new_tokens is not None:
        fixed["max_completion_tokens"] = decoding.max_new_tokens
    if decoding.stop:
        fixed["stop"] = list(decoding.stop)
    return lambda request: {"messages": endpoint_messages(request, len(request.shots), sent_images(request)), **fixed}
