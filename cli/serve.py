"""The command serve: an OpenAI-compatible service whose model is the pool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from benchcoe_jobs.errors import MissingError, UsageError
from benchcoe_jobs.files import read_toml
from benchcoe_jobs.masking import remember

from .command import Command, Finite, Session
from .drift_notes import note_drifted
from .routing_options import routing_options

_DEFAULT_VARIABLE = "BENCHCOE_API_KEY"


@click.command(cls=Command)
@click.option(
    "--router",
    "routers",
    multiple=True,
    metavar="NAME",
    help="A router; the first decides for benchcoe/auto, each for benchcoe/NAME. May be repeated. "
    "[the only one in the store]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="Port to listen at.")
@click.option(
    "--endpoints",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file with url, model and key_env of experts whose address the store does not have.",
)
@click.option(
    "--api-key-env", metavar="VARIABLE", help=f"Environment variable with the key of clients. [{_DEFAULT_VARIABLE}]"
)
@click.option(
    "--on-failure",
    type=click.Choice(["best-single"]),
    help="Let the best single expert answer in place of one that fails. [the failure is the answer]",
)
@click.option("--shadow", is_flag=True, help="Send each request to the expert that it names; only log the decision.")
@click.option(
    "--explore",
    type=Finite(min=0, max=0.5),
    default=0.0,
    metavar="SHARE",
    help="Share of the routed requests that go to another expert, drawn at random.",
)
@click.option(
    "--log",
    type=click.Choice(["decisions", "none"]),
    default="decisions",
    show_default=True,
    help="Whether decisions and outcomes are stored.",
)
@click.option("--log-prompts", is_flag=True, help="Also store the texts that the router reads.")
@click.option(
    "--reload",
    "reload_s",
    type=Finite(min=0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between looks for a change of router, labels, pool and endpoints.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Largest number of requests at a time; others get status 503.",
)
@routing_options
def serve(
    session: Session,
    routers: tuple[str, ...],
    host: str,
    port: int,
    endpoints: Path | None,
    api_key_env: str | None,
    on_failure: str | None,
    shadow: bool,
    explore: float,
    log: str,
    log_prompts: bool,
    reload_s: float,
    max_requests: int,
    fallback: bool,
    max_cost: float | None,
    quality_weight: float | Literal["auto"],
) -> None:
    """Serve the pool as one model of an OpenAI-compatible API.

    A request for the model benchcoe/auto is decided by a router and passed on to the endpoint of the chosen
    expert; one that names an expert is passed on as it is. Every expert that the router may choose needs an
    endpoint: without one, the command ends and prints how vLLM serves it. Decisions are stored before
    their requests are sent. SIGTERM and Ctrl-C end the service after the open requests.
    """
    from benchcoe_jobs.services.routing.budget import Budget

    try:
        from benchcoe_jobs.services.serving.live_router import LiveRouter, LiveRouters, RouterSource
        from benchcoe_jobs.services.serving.options import ServiceOptions
        from benchcoe_jobs.services.serving.server import ServerOptions, run
    except ImportError as error:
        raise MissingError(f"serve needs more packages ({error}): pip install 'benchcoe-jobs[serve]'") from error

    if shadow and (explore or on_failure):
        raise UsageError("--shadow sends requests as clients name them: --explore and --on-failure do not go with it")
    if log == "none" and (log_prompts or shadow or explore):
        raise UsageError("--log none does not go with --shadow, --explore and --log-prompts, which are for the log")
    server = ServerOptions(host, port, _key(api_key_env), log == "decisions", reload_s, max_requests)
    given = read_toml(endpoints) if endpoints else {}
    budget = Budget(max_cost, quality_weight)
    sources = [
        RouterSource(session.store, session.settings.home, name, given, budget, fallback)
        for name in dict.fromkeys(routers or [None])
    ]
    live = LiveRouters([LiveRouter(source, source.load()) for source in sources])
    others = [name for name, one in live.by_name.items() if one is not live.first]
    session.note(
        f"router {live.first.loaded.router} decides for benchcoe/auto at http://{host}:{port}/v1"
        + (f", others for {', '.join(others)}" if others else "")
        + f"; experts with an endpoint: {', '.join(sorted(live.upstreams))}"
    )
    note_drifted(session, live.upstreams)
    options = ServiceOptions(shadow, explore, on_failure is not None, log_prompts, max_cost)
    run(session.store, live, options, server)


def _key(variable: str | None) -> str | None:
    """The key of clients; None without one. A variable that was named must hold one."""
    key = os.environ.get(variable or _DEFAULT_VARIABLE, "").strip()
    if variable is not None and not key:
        raise MissingError(f"the environment variable {variable}, which is to hold the key of clients, is not set")
    remember(key)
    return key or None
