"""The commands of experts and pools: add-expert, experts, retire, add-pool, pools."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs import registry
from benchcoe_jobs.errors import UsageError

from .command import Command, Finite, Session, new_name
from .job_commands import priority_option, run_job, wait_option
from .output import echo
from .price_notes import note_prices_without_counts
from .profile import print_profile, require_all_queries
from .settling import run_until_settled, until_settled_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from benchcoe_jobs.store.job_queue.jobs import JobRow
    from benchcoe_jobs.store.results.experts import ExpertRow

DTYPES = ["auto", "float32", "bfloat16", "float16"]


@click.command(cls=Command)
@click.argument("name", callback=new_name)
@click.option(
    "--engine",
    type=click.Choice([*registry.names("engines"), "recorded"]),
    required=True,
    help="The engine that runs the expert. recorded: its results are imported.",
)
@click.option(
    "--model", help="A folder, a hub id such as mistralai/Mathstral-7B-v0.1, or the model's name at the endpoint."
)
@click.option("--revision", help="Revision of the model on the hub.")
@click.option("--dtype", type=click.Choice(DTYPES), help="Data type of the weights. [auto]")
@click.option("--max-model-len", type=click.IntRange(min=1), metavar="TOKENS", help="Largest context. [the model's]")
@click.option(
    "--tensor-parallel", type=click.IntRange(min=1), metavar="N", help="Number of GPUs for the model (vllm). [1]"
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), metavar="N", help="Number of concurrent sequences or requests. [32]"
)
@click.option("--base-url", metavar="URL", help="URL of the endpoint (openai).")
@click.option(
    "--api",
    type=click.Choice(["auto", "chat", "completions"]),
    help="Where plain prompts are sent (openai): chat/completions, as a message, or completions. auto: completions if "
    "the model has them. [auto]",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Finite(min=0, min_open=True),
    metavar="SECONDS",
    help="Longest time for one answer (openai). [600]",
)
@click.option("--no-temperature", is_flag=True, default=None, help="Ask without a temperature (openai).")
@click.option(
    "--accept-model",
    metavar="NAME",
    multiple=True,
    help="Accept answers of another model than --model (openai); a pattern with * is possible. May be repeated.",
)
@click.option(
    "--reasoning",
    type=click.Choice(["strip", "keep"]),
    help="Whether thoughts of the model, such as <think> blocks, are cut from its answers. [strip]",
)
@click.option("--api-key-env", metavar="VARIABLE", help="Environment variable that holds the key of the endpoint.")
@click.option("--trust-remote-code", is_flag=True, default=None, help="Run Python code that comes with the model.")
@click.option("--cost", type=Finite(min=0), help="Cost of one query, in a unit that all experts share.")
@click.option("--price-in", type=Finite(min=0), help="Price of a million input tokens, in the same unit.")
@click.option("--price-out", type=Finite(min=0), help="Price of a million output tokens.")
@click.option("--price-gpu-second", type=Finite(min=0), help="Price of a GPU second, if tokens have no price.")
@click.option("--no-profile", is_flag=True, help="Only register the expert.")
@until_settled_option
@priority_option
@wait_option
def add_expert(
    session: Session,
    name: str,
    engine: str,
    model: str | None,
    revision: str | None,
    cost: float | None,
    price_in: float | None,
    price_out: float | None,
    price_gpu_second: float | None,
    no_profile: bool,
    until_settled: bool,
    priority: int,
    wait: bool,
    **given: Any,
) -> None:
    """Register an expert and profile it.

    Profiling asks the expert the queries of every known benchmark in the store, like the command profile,
    which continues a profiling that was stopped. The model and the settings can be changed by repeating this
    command until the expert has answered a query; costs can always be changed. So an expert with imported
    results gets an engine: the results stay, and only queries without an imported score are asked. The key
    of an endpoint is read from the environment for each run and is never stored.

    --until-settled asks only as much as it takes to know on which subjects the expert is best, like the
    option of the command profile.
    """
    from benchcoe_jobs.services.inference.expert_settings import new_expert
    from benchcoe_jobs.services.inference.plan import prompt_plans
    from benchcoe_jobs.store.results import experts

    if name == "all":
        raise UsageError("an expert cannot be called all: import-results uses that word for every expert")
    costs = {"cost": cost, "price_in": price_in, "price_out": price_out, "price_gpu_second": price_gpu_second}
    expert = new_expert(name, engine, model, revision, costs, given)
    with session.store.reading() as connection:
        registration = experts.registration(connection, expert)
        profiles = expert.can_answer and not no_profile and bool(prompt_plans(connection))
    if until_settled and (no_profile or not expert.can_answer):
        raise UsageError("--until-settled is about profiling: omit it for an expert that is only registered")
    if profiles:
        job = _profile(session, expert, until_settled=until_settled, wait=wait, priority=priority)
        if job is not None:
            _show(session, name, registration, job.report)
            note_prices_without_counts(session, [name])
            require_all_queries(job)
        return
    with session.store.writing() as connection:
        experts.add_expert(connection, expert)
    _show(session, name, registration, None)
    note_prices_without_counts(session, [name])
    if registration == "added":
        session.note(f"next: {_next_step(name, is_recorded=not expert.can_answer, wants_profile=not no_profile)}")


def _profile(session: Session, expert: ExpertRow, *, until_settled: bool, wait: bool, priority: int) -> JobRow | None:
    """Register an expert and profile it; if profiling cannot begin, the expert is not registered either."""
    from benchcoe_jobs.services.inference.job import profile_request
    from benchcoe_jobs.store.results import experts

    def before(connection: Connection) -> None:
        experts.add_expert(connection, expert)

    name = expert.name
    if until_settled:
        return run_until_settled(session, name, wait=wait, priority=priority, before=before)
    what = f"profiling {name}"
    return run_job(session, "profile", profile_request(name), what=what, wait=wait, priority=priority, before=before)


def _show(session: Session, name: str, registration: str, report: Mapping[str, Any] | None) -> None:
    def human() -> None:
        echo(f"{registration}: {name}")
        if report:
            print_profile(session, report)

    data = {"expert": name, "added": registration == "added", "changed": registration == "changed", "profile": report}
    session.show(data, human)


def _next_step(name: str, *, is_recorded: bool, wants_profile: bool) -> str:
    if is_recorded:
        return f"benchcoe-jobs import-results {shlex.quote(name)} FILE"
    first = "benchcoe-jobs add-benchmark NAME FOLDER (no known benchmark is stored), then " if wants_profile else ""
    return f"{first}benchcoe-jobs profile {shlex.quote(name)}"


@click.command(cls=Command)
def experts(session: Session) -> None:
    """List experts."""
    from benchcoe_jobs.store.results import experts

    with session.store.reading() as connection:
        session.show_list("experts", experts.experts(connection))


@click.command(cls=Command)
@click.argument("name")
@click.option("--restore", is_flag=True, help="Restore a retired expert.")
def retire(session: Session, name: str, restore: bool) -> None:
    """Take an expert out of routing, or restore it.

    The scores of the expert are kept. The labels of all pools are updated in the same transaction.
    """
    from benchcoe_jobs.store.results import experts

    with session.store.writing() as connection:
        experts.set_retired(connection, name, not restore)
    session.show(
        {"expert": name, "retired": not restore}, lambda: echo(f"{'restored' if restore else 'retired'}: {name}")
    )


@click.command(cls=Command)
@click.argument("name", callback=new_name)
@click.argument("members", metavar="[EXPERT]...", nargs=-1)
@click.option("--remove", metavar="EXPERT", multiple=True, help="Remove an expert from the pool. May be repeated.")
def add_pool(session: Session, name: str, members: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Create a pool of experts, or change its members.

    The labels of the pool are computed in the same transaction. The pool `all` always exists.
    """
    from benchcoe_jobs.store.results import experts

    with session.store.writing() as connection:
        experts.change_pool(connection, name, add=members, remove=remove)
        present = list(experts.pool_members(connection, experts.find_pool(connection, name).id))
    session.show({"pool": name, "experts": present}, lambda: echo(f"{name}: {', '.join(present) or 'empty'}"))


@click.command(cls=Command)
def pools(session: Session) -> None:
    """List pools."""
    from benchcoe_jobs.store.results import experts

    with session.store.reading() as connection:
        session.show_list("pools", experts.pools(connection))
