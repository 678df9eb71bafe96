"""The kind of a router, if the command leaves it open."""

from __future__ import annotations

import pytest

from benchcoe_jobs.cli.router import chosen_kind
from benchcoe_jobs.routers import encoder

OPEN = {"kind": None, "level": None, "policy": "best", "head": None}


@pytest.mark.parametrize(
    ("given", "with_encoder", "without"),
    [
        ({}, "query blend", "subject tfidf"),
        ({"level": "query"}, "query blend", "query tfidf"),
        ({"level": "subject"}, "subject tfidf", "subject tfidf"),
        ({"policy": "abstain"}, "subject tfidf", "subject tfidf"),
        ({"head": "linear"}, "subject tfidf", "subject tfidf"),
        ({"kind": "tfidf"}, "subject tfidf", "subject tfidf"),
        ({"kind": "blend"}, "query blend", "query blend"),
        ({"kind": "embedding"}, "subject embedding", "subject embedding"),
    ],
)
def test_the_kind_depends_on_what_is_here(
    given: dict[str, str], with_encoder: str, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found, wanted in (("an encoder", with_encoder), (None, without)):
        monkeypatch.setattr(encoder, "default_encoder_here", lambda found=found: found)
        chosen = chosen_kind(OPEN | given)
        assert f"{chosen['level']} {chosen['kind']}" == wanted
