"""Progress bars on a terminal: of one command, and of a job with its workers. Imports rich."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from benchcoe_jobs.characters import one_line
from benchcoe_jobs.wording import counted

if TYPE_CHECKING:
    from benchcoe_jobs.store.job_queue.jobs import ShardGroupRow
    from benchcoe_jobs.store.job_queue.workers import WorkerRow

_SPEED_PERIOD_S = 1800
"""A micro-batch may take minutes, so the rate is an average over a longer period."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


def _plain(template: str) -> TextColumn:
    """A column of text in which brackets are not markup: names may contain them."""
    return TextColumn(template, markup=False)


@contextmanager
def show_bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr. The function yielded advances it by a number of items.

    It shows the count and the time; with a total also the rate and the time left.
    """
    columns: list[ProgressColumn] = [SpinnerColumn(), _plain("{task.description}"), MofNCompleteColumn()]
    if total is not None:
        columns += [BarColumn(), _Rate(), TimeRemainingColumn()]
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=_SPEED_PERIOD_S,
    ) as bar:
        task = bar.add_task(one_line(description), total=total)
        yield lambda items: bar.advance(task, items)


def show_job_bars(snapshots: Iterable[tuple[list[ShardGroupRow], list[WorkerRow]]]) -> None:
    """A bar on stderr for each shard group and a line for each worker, until the snapshots end."""
    progress = Progress(
        _plain("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _plain("{task.fields[shards]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        speed_estimate_period=_SPEED_PERIOD_S,
    )
    bars: dict[tuple[int, int, str | None, str | None], TaskID] = {}
    with Live(progress, console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
        for shard_groups, workers in snapshots:
            for group in shard_groups:
                key = (group.job_id, group.stage, group.expert, group.benchmark)
                if key not in bars:
                    bars[key] = progress.add_task(_description(group), total=group.items, shards="")
                completed = group.reused + group.answered + group.errors
                progress.update(bars[key], completed=completed, shards=_state(group))
            live.update(Group(progress, _worker_lines(workers)))


def _description(group: ShardGroupRow) -> str:
    parts = [f"job {group.job_id}", group.expert, group.benchmark or group.queue]
    return one_line(" ".join(part for part in parts if part))


def _state(group: ShardGroupRow) -> str:
    parts = [f"{group.running} running", f"{group.waiting} waiting"]
    if group.failed:
        parts.append(f"{group.failed} failed")
    if group.errors:
        parts.append(counted(group.errors, "error"))
    return ", ".join(parts)


def _worker_lines(workers: list[WorkerRow]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for worker in workers:
        parts = [worker.name, worker.queues, worker.expert or "-", f"seen {worker.seen_s_ago:.0f} s ago"]
        grid.add_row(*(Text(one_line(part)) for part in parts))
    return grid
