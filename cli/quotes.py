"""Print quotes: queries, tokens, worker time and cost before a run, and beside it what the run took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from benchcoe_jobs.wording import counted

from .command import Session, table
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.quote.quote import Quote


def show_quote(session: Session, quote: Quote, n_workers: int, needs_gpu: bool) -> None:
    """Print one row for each part and the sum, with the time by number of workers."""
    data = quote.as_json()
    seconds = data["seconds"]
    spread = sorted({1, 2, 4, 8, max(n_workers, 1)})
    data["wall_seconds"] = {str(n): {end: seconds[end] / n for end in seconds} for n in spread} if seconds else None
    data["gpu_hours"] = {end: seconds[end] / 3600 for end in seconds} if seconds and needs_gpu else None

    def human() -> None:
        rows = [[part["expert"], part["benchmark"] or "-", *_cells(part), part["source"]] for part in data["parts"]]
        if len(rows) > 1:
            rows.append(["in all", "", *_cells(data), ""])
        table(rows, ["expert", "benchmark", "queries", "tokens in", "tokens out", "worker time", "cost", "from"])
        if seconds:
            by_number = ", ".join(f"{n}: {_time(data['wall_seconds'][str(n)])}" for n in spread)
            echo(f"time by number of workers: {by_number}")
        if data["gpu_hours"]:
            echo(f"GPU-hours: {_number(data['gpu_hours'])}")
        if rows:
            echo("in brackets: intervals that hold in 80 % of cases")

    session.show(data, human)


def show_quote_of_experts(session: Session, quote: Quote) -> None:
    """Print a quote with the workers and GPUs that its experts have and need."""
    from benchcoe_jobs.services.inference.expert_settings import settings_of
    from benchcoe_jobs.services.inference.placement import engine_traits, placement
    from benchcoe_jobs.store.job_queue import workers
    from benchcoe_jobs.store.results import experts

    n_workers, needs_gpu = 0, False
    with session.store.reading() as connection:
        for part in quote.parts:
            _, row = experts.read_expert(connection, part.expert)
            if row.can_answer:
                n_workers = max(n_workers, workers.n_serving(connection, placement(settings_of(row))[0]))
                needs_gpu = needs_gpu or engine_traits(row.engine).needs_gpu
    if not quote.parts:
        session.note("no expert has to be asked")
    show_quote(session, quote, n_workers, needs_gpu)


def took(quote: Mapping[str, Any] | None, answered: int, seconds: float) -> str | None:
    """A sentence with the quoted and the real worker time; None if no time was quoted, or nothing asked."""
    if not quote or not quote["seconds"] or not answered:
        return None
    quoted = quote["seconds"]
    of = f"{counted(quote['queries'], 'query', 'queries')} in {_time(quoted)}"
    return f"quoted: {of} of worker time; so far {counted(answered, 'answer')} in {_duration(seconds)}"


def _cells(figures: Mapping[str, Any]) -> list[str]:
    return [
        str(figures["queries"]),
        _number(figures["prompt_tokens"]),
        _number(figures["completion_tokens"]),
        _time(figures["seconds"]),
        _number(figures["cost"]),
    ]


def _number(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "-"
    value, low, high = (_short(interval[end]) for end in ("value", "low", "high"))
    return value if low == high else f"{value} [{low}, {high}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _time(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "-"
    value, low, high = (_duration(interval[end]) for end in ("value", "low", "high"))
    return value if low == high else f"{value} [{low}, {high}]"


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else str(timedelta(seconds=round(seconds)))
