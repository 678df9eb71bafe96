"""Labels before and after a change."""

from __future__ import annotations

from benchcoe_jobs.services.label_flips import Flip, flips
from benchcoe_jobs.store.labels.live_labels import AllLabels


def test_labels_that_change_appear_or_vanish() -> None:
    law, math, maps = (("all", "train", subject) for subject in ("law", "math", "maps"))
    before = AllLabels({law: "ann", math: "ann"}, {("all", 1): "ann", ("all", 2): "ann", ("two", 2): "ann"})
    after = AllLabels({law: "ann", math: None, maps: "bob"}, {("all", 1): "bob", ("two", 2): "ann", ("all", 3): "bob"})
    assert flips(before, after) == ([Flip(*maps, None, "bob"), Flip(*math, "ann", None)], {"all": 3})
    assert flips(before, before) == ([], {})
