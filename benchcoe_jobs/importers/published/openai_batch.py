"""Output files of the OpenAI batch API, and of servers with the same interface, with their input files.

An output file has a response for each custom_id, but neither the question nor a score: the input file has the question,
and the benchmark scores the response. The custom_id of a request is BENCHMARK/KEY, or KEY alone if the command names
the benchmark. The subject, the choices and the answer are those of the stored query with this key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchcoe_jobs import registry
from benchcoe_jobs.domain import Query, Result, SkippedRow
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import UNKNOWN_SUBJECT, Item, ReadOptions
from benchcoe_jobs.importers.reading.columns import (
    DuplicateGuard,
    Row,
    RowError,
    checked,
    count,
    name,
    quoted,
    required,
)
from benchcoe_jobs.importers.reading.rows import converted, read_rows
from benchcoe_jobs.importers.source import Source

_INPUT = ("custom_id", "method", "url", "body")
_OUTPUT = ("id", "custom_id", "response", "error")
_CHAT_PARTS = ("text", "input_text")


class OpenAIBatchImporter:
    """The format `openai-batch`. It is accompanied by the input file of the batch."""

    def recognise(self, source: Source) -> str | None:
        """By the names in the first line of an output file."""
        record = source.first_record
        if source.is_folder or not isinstance(record, dict) or not {"custom_id", "response"} <= record.keys():
            return None
        response = record["response"]
        is_output = isinstance(response, dict) and "body" in response
        return "its lines have custom_id and response" if is_output or record.get("error") else None

    def accompanies(self, source: Source) -> bool:
        """Whether a file is the input of a batch."""
        record = source.first_record
        return not source.is_folder and isinstance(record, dict) and {"custom_id", "body"} <= record.keys()

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The responses, to be scored, each with its prompt; failed requests are skipped.

        The input is the file that the command names, or one beside the output, that has all its requests. Raises
        InputError if there is none or several.
        """
        options.require_only("openai-batch")
        requests = _requests(self._input(source, options.companions))
        duplicates = DuplicateGuard()

        def result(line: int, row: Row) -> Result:
            custom_id = required(row, "custom_id")
            duplicates.claim(line, f"custom_id {custom_id!r}", custom_id)
            if custom_id not in requests:
                raise RowError(f"the input file has no request with custom_id {quoted(custom_id)}")
            benchmark, key = _query_of(custom_id, options.benchmark)
            body = _body(row)
            usage = _object(body.get("usage"))
            return Result(
                line=line,
                benchmark=benchmark,
                query=Query(key, UNKNOWN_SUBJECT, ""),
                expert=name(body, "model") or requests[custom_id].model,
                text=_answer(body),
                prompt_tokens=count(usage, "prompt_tokens", least=0),
                completion_tokens=count(usage, "completion_tokens", least=0),
                prompt=requests[custom_id].prompt,
            )

        return converted(source.path, read_rows(source.path, _OUTPUT, [("custom_id",), ("response",)]), result)

    def _input(self, source: Source, companions: tuple[Path, ...]) -> Path:
        first = source.first_record
        wanted = first["custom_id"] if isinstance(first, dict) and "custom_id" in first else None
        siblings = [path for path in sorted(source.path.parent.iterdir()) if path.suffix == source.path.suffix]
        for paths in (companions, siblings):
            inputs = [path for path in paths if path.is_file() and self.accompanies(Source(path))]
            found = [path for path in inputs if wanted in _requests(path)]
            if len(found) > 1:
                listed = ", ".join(repr(path.name) for path in found)
                raise InputError(f"{source}: {len(found)} input files have its requests ({listed}): name the right one")
            if found:
                return found[0]
        raise InputError(
            f"{source}: the questions are in the input file of the batch, which is neither named nor beside this file"
        )


OPENAI_BATCH = OpenAIBatchImporter()


class _Request(NamedTuple):
    prompt: str
    model: str | None


def _requests(path: Path) -> dict[str, _Request]:
    """The requests of an input file by custom_id. Raises InputError for one that cannot be read."""
    found: dict[str, _Request] = {}
    rows = converted(path, read_rows(path, _INPUT, [("custom_id",), ("body",)]), _request)
    for row in rows:
        if isinstance(row, SkippedRow):
            raise InputError(f"{path}: line {row.line}: {row.reason}")
        if isinstance(row, tuple):
            custom_id, request = row
            if custom_id in found:
                raise InputError(f"{path}: two requests have the custom_id {quoted(custom_id)}")
            found[custom_id] = request
    return found


def _request(_line: int, row: Row) -> tuple[str, _Request]:
    body = row["body"]
    if not isinstance(body, dict):
        raise RowError("body is not a JSON object")
    messages = body.get("messages")
    if isinstance(messages, list):
        prompt = "\n".join(_content(message) for message in messages)
    else:
        prompt = body["prompt"] if isinstance(body.get("prompt"), str) else ""
    return required(row, "custom_id"), _Request(prompt, name(body, "model"))


def _content(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in _CHAT_PARTS]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _query_of(custom_id: str, benchmark: str | None) -> tuple[str, str]:
    """The benchmark and the key that a custom_id names."""
    named, slash, key = custom_id.partition("/")
    if benchmark is not None:
        return benchmark, key if slash and key and named == benchmark else custom_id
    if slash and key and named in registry.names("benchmarks"):
        return named, key
    raise RowError(
        f"custom_id {quoted(custom_id)} is not BENCHMARK/KEY: if it is a key, --benchmark names the benchmark"
    )


def _body(row: Row) -> Mapping[str, Any]:
    response, error = row.get("response"), row.get("error")
    if error:
        message = error.get("message") if isinstance(error, dict) else error
        raise RowError(f"the request failed: {quoted(message)}")
    body = _object(response).get("body")
    if not isinstance(body, dict):
        raise RowError("response has no body")
    if (status := _object(response).get("status_code", 200)) != 200:
        fault = body.get("error")
        message = fault.get("message") if isinstance(fault, dict) else fault
        raise RowError(f"the request failed with status {quoted(status)}: {quoted(message)}")
    return body


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _answer(body: Mapping[str, Any]) -> str:
    """The text of the first choice; that of a refusal if there is no other, and empty if there is none."""
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise RowError("its body has no choices: only completions are read")
    message = choice.get("message")
    if not isinstance(message, dict):
        answer = choice.get("text")
    else:
        answer = message.get("content") or message.get("refusal") or ""
    if not isinstance(answer, str):
        raise RowError(f"its answer {quoted(answer)} is not text")
    return checked("the answer", answer)
