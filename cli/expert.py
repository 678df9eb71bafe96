"""Experts."""

from __future__ import annotations

import click

from benchcoe_jobs.errors import UsageError

from .command import Command, Finite, Session, new_name


@click.command(cls=Command)
@click.argument("name", callback=new_name)
@click.option(
    "--engine",
    type=click.Choice(["recorded"]),
    required=True,
    help="How the expert is run; recorded: its results are imported.",
)
@click.option("--model", help="Model id, for example mistralai/Mathstral-7B-v0.1.")
@click.option("--revision", help="The model's revision.")
@click.option("--cost", type=Finite(min=0), help="What one query costs, in any unit that all experts share.")
def add_expert(
    session: Session, name: str, engine: str, model: str | None, revision: str | None, cost: float | None
) -> None:
    """Register an expert."""
    from benchcoe_jobs.store import experts

    if name == "all":
        raise UsageError("an expert cannot be called all: import-results takes that word for every expert")
    with session.store.writing() as connection:
        added = experts.add_expert(connection, name, engine=engine, model=model, revision=revision, cost=cost)
    session.show({"expert": name, "added": added}, lambda: click.echo(f"{'added' if added else 'unchanged'}: {name}"))
    if added:
        session.note(f"next: benchcoe-jobs import-results {name} FILE")


@click.command(cls=Command)
def experts(session: Session) -> None:
    """List experts."""
    from benchcoe_jobs.store import experts

    with session.store.reading() as connection:
        session.show_list("experts", experts.experts(connection))


@click.command(cls=Command)
@click.argument("name")
@click.option("--restore", is_flag=True, help="Bring a retired expert back.")
def retire(session: Session, name: str, restore: bool) -> None:
    """Take an expert out of routing, or bring it back.

    Its scores stay; the labels of every pool follow at once.
    """
    from benchcoe_jobs.store import experts

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
    from benchcoe_jobs.store import experts

    with session.store.writing() as connection:
        experts.change_pool(connection, name, add=members, remove=remove)
        present = list(experts.pool_members(connection, experts.find_pool(connection, name).id))
    session.show({"pool": name, "experts": present}, lambda: click.echo(f"{name}: {', '.join(present) or 'empty'}"))


@click.command(cls=Command)
def pools(session: Session) -> None:
    """List pools."""
    from benchcoe_jobs.store import experts

    with session.store.reading() as connection:
        session.show_list("pools", experts.pools(connection))
