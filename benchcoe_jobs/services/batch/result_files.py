"""The two result files of a submitted file: the answered lines, and the failed lines."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.files import mode_of
from benchcoe_jobs.services.batch.openai_format import RESULT_ID, answer_line, error_line
from benchcoe_jobs.store.job_queue import batch_lines, jobs, transitions
from benchcoe_jobs.store.job_queue.batch_lines import Line
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.session import Store


def require_result_files(output: Path, errors: Path) -> None:
    """Raise UsageError if results cannot be written to these files. Called before the work begins.

    Only result files and empty files may be overwritten: a mistyped name must not cost prompts, or the store.
    """
    if output.resolve() == errors.resolve():
        raise UsageError(f"answers and errors cannot both go to {output}: name two files")
    for path in (output, errors):
        if not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: folder {path.parent} does not exist")
        if path.exists() and not (path.is_file() and _has_results(path)):
            raise UsageError(f"{path} exists and is not a result file: name another file, or move it")


def _has_results(path: Path) -> bool:
    """Whether a file is a result file, or empty."""
    try:
        with path.open("rb") as file:
            first = file.read(100)
    except OSError as error:
        raise UsageError(f"{path} cannot be overwritten: {error.strerror}") from error
    return not first or first.startswith(json.dumps({"id": RESULT_ID})[:-2].encode())


def write_results(store: Store, job_id: int, output: Path, errors: Path) -> tuple[int, int]:
    """Write the answered and the failed lines of a job, in the order of its file; return the number of each.

    Both files are written whole, or neither is. A symbolic link is replaced by the file. Raises InputError if they
    cannot be written, and UsageError if the job is not a submitted file, or as `require_result_files` does.
    """
    require_result_files(output, errors)
    with store.reading() as connection:
        job = jobs.read_job(connection, job_id)
        if job.kind != "batch":
            raise UsageError(f"job {job_id} is not a submitted file: `benchcoe-jobs status {job_id}` shows its report")
        n_output = n_errors = 0
        reason = _reasons(connection, job)
        try:
            with _replaced(output, errors) as (answered, failed):
                for line in batch_lines.lines(connection, job_id):
                    if line.text is not None:
                        answered.write(json.dumps(_answer(job_id, line), ensure_ascii=False) + "\n")
                        n_output += 1
                    elif (error := line.error or (None if job.is_open else reason(line.line))) is not None:
                        failed.write(json.dumps(_error(job_id, line, error), ensure_ascii=False) + "\n")
                        n_errors += 1
        except OSError as error:
            raise InputError(f"{output} and {errors} cannot be written: {error.strerror}") from error
    return n_output, n_errors


def _answer(job_id: int, line: Line) -> dict[str, Any]:
    return answer_line(
        job_id,
        line.line,
        line.custom_id,
        line.url,
        text=line.text or "",
        finish_reason=line.finish_reason,
        prompt_tokens=line.prompt_tokens,
        completion_tokens=line.completion_tokens,
        created=int(line.answered_at.timestamp()) if line.answered_at else 0,
        expert=line.expert or "",
        why=line.why,
    )


def _error(job_id: int, line: Line, message: str) -> dict[str, Any]:
    return error_line(job_id, line.line, line.custom_id, message=message, expert=line.expert, why=line.why)


@contextmanager
def _replaced(*paths: Path) -> Iterator[list[IO[str]]]:
    """Files to write. At the end they take the place of `paths` and their permissions, unless an error is raised."""
    staged = [path.with_name(f".benchcoe-{secrets.token_hex(8)}") for path in paths]
    try:
        with ExitStack() as opened:
            yield [opened.enter_context(open(path, "w", encoding="utf-8", opener=_open_new)) for path in staged]
        for source, target in zip(staged, paths, strict=True):
            source.chmod(mode_of(target))
            source.replace(target)
    finally:
        for path in staged:
            path.unlink(missing_ok=True)


def _open_new(path: str, flags: int) -> int:
    """Open a file that does not exist: in a folder that others can write to, a link may wait under its name."""
    return os.open(path, flags | os.O_EXCL, 0o600)


def _reasons(connection: Connection, job: JobRow) -> Callable[[int], str]:
    """Line number -> why that line was not asked: the reason of its shard, or else of the job."""
    of_line: dict[int, str] = {}
    for stage, work, error in transitions.failed_work(connection, job.id):
        routed = batch_lines.numbers(connection, job.id)[work["from"] : work["to"]] if stage == 0 else None
        of_line |= dict.fromkeys(work["lines"] if routed is None else routed, error)
    of_job = job.error or str(job.state)
    if job.state is JobState.CANCELLED:
        of_job = "the job was cancelled before this line was asked"
    return lambda number: of_line.get(number, of_job)
