"""The command add-subjects: subjects for questions that have none."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.model_folder import stored_name
from benchcoe_jobs.wording import counted, percent

from .command import Command, Session, table
from .output import echo

if TYPE_CHECKING:
    from benchcoe_jobs.services.subjects.clustering import Clustered, Undone

_CHOSEN = "chosen"
_MOST = 1000


class _Number(click.ParamType[Any]):
    """A number of clusters, or the word that stands for none given."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == _CHOSEN:
            return value
        if not str(value).isdecimal() or not 2 <= int(value) <= _MOST:
            self.fail(
                f"{value!r} is not a number from 2 to {_MOST}; without a number, --cluster is the last word, as in "
                "`benchcoe-jobs add-subjects BENCHMARK --cluster`",
                param,
                ctx,
            )
        return int(value)


@click.command(cls=Command)
@click.argument("benchmark")
@click.option(
    "--cluster",
    type=_Number(),
    is_flag=False,
    flag_value=_CHOSEN,
    metavar="[K]",
    help="Divide into K clusters, 2 or more. [without K: the number whose labels route best in cross-validation]",
)
@click.option("--undo", is_flag=True, help="Put the questions back into the subject that they are from.")
@click.option(
    "--encoder",
    metavar="ID|FOLDER",
    help="Sentence encoder of the texts. [all-MiniLM-L6-v2 if it is on this machine, else tf-idf]",
)
@click.option("--revision", help="The encoder's revision on the hub.")
def add_subjects(
    session: Session, benchmark: str, cluster: Any, undo: bool, encoder: str | None, revision: str | None
) -> None:
    """Divide questions without subjects into clusters.

    This is for a benchmark whose questions have no subjects, or all the same one: clusters of their texts
    are its subjects from then on, named by their most telling words, so that labels, policies, subject-level routers
    and the report work. They are learned from the split train; questions of other splits go to the nearest
    one. Questions that are added later stay in the one subject until the command is given again after --undo.

    Without K, the number is chosen by cross-validation of the subject labels within train, from the scores of
    the pool all. Prompts, responses and scores stay as they are. Routers and label sets on the benchmark are
    out of date afterwards. The command is refused while a job on the benchmark is open.
    """
    from benchcoe_jobs.routers.encoder import default_encoder_here
    from benchcoe_jobs.services.subjects.clustering import cluster as cluster_questions
    from benchcoe_jobs.services.subjects.clustering import undo as undo_clusters

    if (cluster is not None) == undo:
        raise UsageError("give either --cluster, with or without a number, or --undo")
    if undo:
        if encoder is not None or revision is not None:
            raise UsageError("--encoder and --revision are for --cluster")
        undone = undo_clusters(session.store, benchmark)
        session.show(undone.as_json(), lambda: _print_undone(undone))
        return
    if encoder is None and revision is not None:
        raise UsageError("--revision needs --encoder")
    encoder = default_encoder_here() if encoder is None else stored_name(encoder)
    k = None if cluster == _CHOSEN else cluster
    found = cluster_questions(session.store, benchmark, k, encoder=encoder, revision=revision)
    session.show(found.as_json(), lambda: _print_clustered(found))
    session.note(f"to undo: benchcoe-jobs add-subjects {shlex.quote(benchmark)} --undo")


def _print_clustered(found: Clustered) -> None:
    table([[str(value) for value in row.values()] for row in found.clusters], list(found.clusters[0]))
    how = "tf-idf" if found.encoder is None else found.encoder
    echo(f"{found.benchmark}: {counted(len(found.clusters), 'cluster')} of {found.origin!r}, by {how}")
    if found.left:
        echo(f"{counted(found.left, 'query has', 'queries have')} no text and stay in {found.origin!r}")
    if (choice := found.choice) is not None:
        single, best = choice.accuracies[1], choice.accuracies[choice.k]
        echo(
            f"in cross-validation on {counted(choice.n, 'question')} of train, the labels of {choice.k} clusters are "
            f"right on {percent(best)}, the best single expert on {percent(single)}"
        )


def _print_undone(undone: Undone) -> None:
    moved = counted(undone.n_queries, "query", "queries")
    echo(f"{undone.benchmark}: {moved} of {counted(len(undone.clusters), 'cluster')} put back into {undone.origin!r}")
    if undone.kept:
        echo(f"empty and kept, because label sets or evaluations name them: {', '.join(map(repr, undone.kept))}")
