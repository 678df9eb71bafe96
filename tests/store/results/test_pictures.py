"""Pictures are stored once, and read in the order in which queries have them."""

from __future__ import annotations

import hashlib

from sqlalchemy import func, select

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.store import tables
from benchcoe_jobs.store.removal.results import remove_benchmark
from benchcoe_jobs.store.results import catalog, pictures
from benchcoe_jobs.store.session import Store

PNG, JPEG = b"\x89PNG\r\n\x1a\n one", b"\xff\xd8\xff two"
HASH = {content: hashlib.sha256(content).hexdigest() for content in (PNG, JPEG)}


def add(store: Store, benchmark: str, **images: tuple[bytes, ...]) -> dict[str, int]:
    """Query key -> id."""
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, benchmark)
        queries = [Query(key, "maps", "Where?", split=Split.TRAIN, images=files) for key, files in images.items()]
        added = catalog.add_queries(connection, benchmark_id, queries)
    return {key: stored.id for key, stored in added.items()}


def n_stored(store: Store) -> int:
    with store.reading() as connection:
        return connection.scalars(select(func.count()).select_from(tables.Picture)).one()


def test_a_picture_is_stored_once_and_read_in_order(store: Store) -> None:
    ids = add(store, "one", a=(PNG, JPEG, PNG), b=(JPEG,), c=())
    ids |= add(store, "two", d=(PNG,))
    with store.reading() as connection:
        assert pictures.of_queries(connection, ids.values()) == {
            ids["a"]: (PNG, JPEG, PNG),
            ids["b"]: (JPEG,),
            ids["d"]: (PNG,),
        }
        one, _ = catalog.find_benchmark(connection, "one")
        of_one = {ids["a"]: (HASH[PNG], HASH[JPEG], HASH[PNG]), ids["b"]: (HASH[JPEG],)}
        assert pictures.hashes_of_benchmark(connection, one) == of_one
        assert pictures.hashes(connection, [ids["b"], ids["c"]]) == {ids["b"]: (HASH[JPEG],)}
        assert pictures.sizes(connection, [ids["a"], ids["b"], ids["c"]]) == {
            ids["a"]: 2 * len(PNG) + len(JPEG),
            ids["b"]: len(JPEG),
        }
        stored = connection.execute(select(tables.Picture.hash, tables.Picture.media_type, tables.Picture.size)).all()
    assert {tuple(row) for row in stored} == {
        (HASH[PNG], "image/png", len(PNG)),
        (HASH[JPEG], "image/jpeg", len(JPEG)),
    }


def test_the_pictures_of_a_question_are_read_when_they_are_needed(store: Store) -> None:
    add(store, "one", a=(PNG, JPEG), b=())
    with store.reading() as connection:
        with_pictures, without = catalog.questions(connection, catalog.find_benchmark(connection, "one")[0], "train")
    found = with_pictures.router_input.pictures
    assert [(picture.sha256, picture.read()) for picture in found] == [(HASH[PNG], PNG), (HASH[JPEG], JPEG)]
    assert without.router_input.pictures == ()


def test_a_picture_goes_with_the_last_query_that_has_it(store: Store) -> None:
    add(store, "one", a=(PNG, JPEG))
    add(store, "two", b=(PNG,))
    for name, left in (("one", 1), ("two", 0)):
        with store.writing() as connection:
            remove_benchmark(connection, *catalog.find_benchmark(connection, name))
        assert n_stored(store) == left
