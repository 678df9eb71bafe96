"""For random tables: how they are divided into files and written does not change labels, and imports can be removed."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_worlds import clear
from sqlalchemy import select, update
from store_content import content, differences
from tables import add_experts, bring

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.removal.remove import remove
from benchcoe_jobs.store.results import experts, imports
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Pool, Query, QueryContent
from benchcoe_jobs.store.views import query_label, subject_label

EXPERTS = ["ann", "bob", "Cy"]
SUBJECTS = ["law", "math"]
SCORES = st.sampled_from([0.0, 0.5, 1.0, 1.0])
FEW = settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Row = dict[str, Any]
Text = Callable[[str], str]

SPELLINGS = ["{}", "{}.0", "{:03}", "#{}"]
TEXTS: list[Text] = [
    str,
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\r"),
    lambda text: unicodedata.normalize("NFD", text),
]


def question(number: int) -> str:
    return f"Is café {number} open?\nOr not?"


def written(row: Row, spelling: str, text: Text) -> Row:
    """A row of query `number`, as a program may write it."""
    number = row["number"]
    named = {"key": spelling.format(number), "subject": SUBJECTS[number % 2], "text": text(question(number))}
    return named | {
        "choices": [text("yes\nthere"), "no"],
        "answer": "A",
        "expert": row["expert"],
        "score": row["score"],
    }


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """A score for each expert and query, without some."""
    pairs = [(expert, number) for expert in EXPERTS for number in range(1, draw(st.integers(3, 8)))]
    left_out = draw(st.sets(st.sampled_from(pairs), max_size=4))
    return [{"expert": e, "number": n, "score": draw(SCORES)} for e, n in pairs if (e, n) not in left_out]


def begin(store: Store) -> None:
    clear(store)
    add_experts(store, **dict.fromkeys(EXPERTS, 1.0))
    with store.writing() as connection:
        connection.execute(update(Pool).values(min_coverage=0.5))
        experts.change_pool(connection, "two", add=EXPERTS[:2])


def labels(store: Store) -> dict[str, set[tuple[Any, ...]]]:
    """The labels of both levels. A query is known by its text, because its key is that of its first row."""
    query, subject = query_label.c, subject_label.c
    with store.reading() as connection:
        of_queries = connection.execute(
            select(QueryContent.text, query.pool, query.split, query.expert, query.score, query.tied, query.margin)
            .join(Query, Query.id == query.query_id)
            .join(QueryContent, QueryContent.query_id == Query.id)
        ).all()
        of_subjects = connection.execute(
            select(subject.subject, subject.pool, subject.split, subject.expert, subject.mean, subject.n, subject.tied)
        ).all()
    plain = {(unicodedata.normalize("NFC", " ".join(text.split())), *rest) for text, *rest in of_queries}
    return {"query": plain, "subject": {tuple(row) for row in of_subjects}}


@FEW
@given(table=tables(), seed=st.integers(0, 2**16), n_files=st.integers(1, 5))
def test_the_files_do_not_change_the_labels(
    store: Store, tmp_path: Path, table: list[Row], seed: int, n_files: int
) -> None:
    """Their order, what each of them holds, its line ends and accents, and how it spells keys."""
    begin(store)
    bring(store, tmp_path, "all", *(written(row, "{}", str) for row in table))
    expected = labels(store)
    begin(store)
    chance = random.Random(seed)
    shuffled = chance.sample(table, len(table))
    for part in range(n_files):
        spelling, text = chance.choice(SPELLINGS), chance.choice(TEXTS)
        if rows := [written(row, spelling, text) for row in shuffled[part::n_files]]:
            bring(store, tmp_path, "all", *rows, new_subjects=True)
    assert labels(store) == expected


@st.composite
def files(draw: st.DrawFn) -> list[Row]:
    """Rows of one file, of queries that other files have as well: known by key, by text, or with everything."""
    numbers = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    found = []
    for number in numbers:
        row = {"expert": draw(st.sampled_from(EXPERTS)), "score": draw(SCORES), "subject": SUBJECTS[number % 2]}
        key = {"key": f"q{number}"}
        row |= draw(st.sampled_from([key, key, {"text": question(number)}]))
        row |= draw(st.sampled_from([{}, {}, {"text": question(number), "answer": "A"}, {"choices": ["x", "y"]}]))
        row |= draw(st.sampled_from([{}, {}, {"subject": "maps"}, {"answer": "B"}, {"cost": 0.5, "tokens": 7}]))
        found.append(row)
    return found


@FEW
@given(brought=st.lists(st.tuples(files(), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=5))
def test_every_import_can_be_removed_again(
    store: Store, tmp_path: Path, brought: list[tuple[list[Row], bool, bool, bool]]
) -> None:
    """Each removal gives back the store before the import: all tables, those of sums and labels included."""
    begin(store)
    before = []
    for rows, replace, new_subjects, new_queries in brought:
        stored = content(store)
        try:
            summary = bring(
                store, tmp_path, "all", *rows, replace=replace, new_subjects=new_subjects, new_queries=new_queries
            )
        except InputError:
            assert differences(content(store), stored) == []
            continue
        if summary.import_name is None:
            assert differences(content(store), stored) == []
        else:
            before.append((summary.import_name, stored))
    for name, stored in reversed(before):
        remove(store, tmp_path, "import", name)
        assert differences(content(store), stored) == []
    with store.reading() as connection:
        assert imports.imports(connection) == []
