"""Experts."""

from __future__ import annotations

import shlex
from typing import Any

import click

from benchcoe_jobs import registry
from benchcoe_jobs.errors import UsageError

from .command import Command, Finite, Session, new_name
from .job_commands import get_done, waits
from .profile import print_profile, require_all_queries

DTYPES = ["auto", "float32", "bfloat16", "float16"]


@click.command(cls=Command)
@click.argument("name", callback=new_name)
@click.option(
    "--engine",
    type=click.Choice([*registry.names("engines"), "recorded"]),
    required=True,
    help="How the expert is run; recorded: its results are imported.",
)
@click.option("--model", help="A folder, a hub id such as mistralai/Mathstral-7B-v0.1, or an endpoint's name for it.")
@click.option("--revision", help="The model's revision.")
@click.option("--dtype", type=click.Choice(DTYPES), help="Type of the weights. [auto]")
@click.option("--max-model-len", type=click.IntRange(min=1), metavar="TOKENS", help="Narrow the model's context.")
@click.option("--tensor-parallel", type=click.IntRange(min=1), metavar="N", help="GPUs for one model (vllm). [1]")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Sequences or requests at once. [32]")
@click.option("--base-url", metavar="URL", help="Where the endpoint is (openai).")
@click.option("--api-key-env", metavar="VARIABLE", help="The environment variable that holds its key.")
@click.option("--trust-remote-code", is_flag=True, default=None, help="Run the Python code that a model brings.")
@click.option("--cost", type=Finite(min=0), help="What one query costs, in any unit that all experts share.")
@click.option("--price-in", type=Finite(min=0), help="Price of a million tokens read, in the same unit.")
@click.option("--price-out", type=Finite(min=0), help="Price of a million tokens written.")
@click.option("--price-gpu-second", type=Finite(min=0), help="Price of a second of a GPU, where tokens have none.")
@click.option("--no-profile", is_flag=True, help="Register it only.")
@waits
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
    wait: bool,
    **given: Any,
) -> None:
    """Register an expert, and profile it.

    It is asked every stored benchmark that is known here, as by the command profile, which also goes on
    where this one was stopped. As long as it has not answered anything, its model and settings can be given
    anew under the same name, and what it costs always can. The key of an endpoint is read from the environment
    each time, and never stored.
    """
    from benchcoe_jobs.services.inference.expert_settings import new_expert
    from benchcoe_jobs.services.inference.job import profile_request
    from benchcoe_jobs.services.inference.plan import prompt_plans
    from benchcoe_jobs.store.results import experts

    if name == "all":
        raise UsageError("an expert cannot be called all: import-results takes that word for every expert")
    costs = {"cost": cost, "price_in": price_in, "price_out": price_out, "price_gpu_second": price_gpu_second}
    expert = new_expert(name, engine, model, revision, costs, given)
    with session.store.reading() as connection:
        registration = experts.registration(connection, expert)
        wants_answers = expert.can_answer and not no_profile and bool(prompt_plans(connection))
    if wants_answers:
        job = get_done(
            session,
            "profile",
            profile_request(name),
            what=f"profiling {name}",
            wait=wait,
            before=lambda connection: experts.add_expert(connection, expert),
        )
        if job is None:
            return
        report = job.report
    else:
        job = report = None
        with session.store.writing() as connection:
            experts.add_expert(connection, expert)

    def human() -> None:
        click.echo(f"{registration}: {name}")
        if report:
            print_profile(report)

    data = {"expert": name, "added": registration == "added", "changed": registration == "changed", "profile": report}
    session.show(data, human)
    if job:
        require_all_queries(job)
    elif registration == "added":
        session.note(f"next: {_next_step(name, is_recorded=not expert.can_answer, wants_profile=not no_profile)}")


def _next_step(name: str, *, is_recorded: bool, wants_profile: bool) -> str:
    if is_recorded:
        return f"benchcoe-jobs import-results {shlex.quote(name)} FILE"
    first = "benchcoe-jobs add-benchmark NAME FOLDER (there is none to ask yet), and then " if wants_profile else ""
    return f"{first}benchcoe-jobs profile {shlex.quote(name)}"


@click.command(cls=Command)
def experts(session: Session) -> None:
    """List experts."""
    from benchcoe_jobs.store.results import experts

    with session.store.reading() as connection:
        session.show_list("experts", experts.experts(connection))


@click.command(cls=Command)
@click.argument("name")
@click.option("--restore", is_flag=True, help="Bring a retired expert back.")
def retire(session: Session, name: str, restore: bool) -> None:
    """Take an expert out of routing, or bring it back.

    Its scores stay; the labels of every pool follow at once.
    """
    from benchcoe_jobs.store.results import experts

    with session.store.writing() as connection:
        experts.set_retired(connection, name, not restore)
    session.show(
        {"expert": name, "retired": not restore}, lambda: click.echo(f"{'restored' if restore else 'retired'}: {name}")
    )


@click.command(cls=Command)
@click.argument("name", callback=new_name)
@click.argument("members", metavar="[EXPERT]...", nargs=-1)
@click.option("--remove", metavar="EXPERT", multiple=True, help="Take an expert out; may be repeated.")
def add_pool(session: Session, name: str, members: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Create a pool of experts, or change who is in it.

    The labels of the pool are there at once. The pool `all` always exists.
    """
    from benchcoe_jobs.store.results import experts

    with session.store.writing() as connection:
        experts.change_pool(connection, name, add=members, remove=remove)
        present = list(experts.pool_members(connection, experts.find_pool(connection, name).id))
    session.show({"pool": name, "experts": present}, lambda: click.echo(f"{name}: {', '.join(present) or 'empty'}"))


@click.command(cls=Command)
def pools(session: Session) -> None:
    """List pools."""
    from benchcoe_jobs.store.results import experts

    with session.store.reading() as connection:
        session.show_list("pools", experts.pools(connection))
