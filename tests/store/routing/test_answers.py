"""What is read of stored answers, on both databases."""

from __future__ import annotations

from pathlib import Path

import tables
from routing_world import row
from sqlalchemy import update

from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing.answers import SeenAnswer, seen_answers
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Extraction, Response


def test_extracted_answers_whole_texts_and_nothing_else(store: Store, tmp_path: Path) -> None:
    tables.add_experts(store, ann=3.0, bob=None)
    first, second = row("apples", 1, 1.0), row("apples", 2, 0.0)
    tables.bring(store, tmp_path, "ann", first | {"response": "four"}, second | {"response": "five"})
    tables.bring(store, tmp_path, "bob", first, second | {"response": "six", "cost": 0.5})
    with store.writing() as connection:
        ids = experts.expert_ids(connection)
        ann, bob = ids["ann"], ids["bob"]
        connection.execute(Extraction.__table__.insert().values(expert_id=ann, query_id=1, answer="4", rule="number"))
        connection.execute(update(Response).where(Response.text == "five").values(finish_reason="length"))
        found = sorted(seen_answers(connection, 1, "train", [ann, bob]))
        assert found == [
            SeenAnswer(1, ann, "number", "4", None, 4, None, 3.0),
            SeenAnswer(2, ann, None, None, "five", 4, "length", 3.0),
            SeenAnswer(2, bob, None, None, "six", 3, None, 0.5),
        ]
        assert list(seen_answers(connection, 1, "test", [ann, bob])) == []
        assert list(seen_answers(connection, 1, "train", [])) == []
