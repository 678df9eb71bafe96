"""Groups of a bounded size."""

from __future__ import annotations

from benchcoe_jobs.groups import groups


def test_a_group_is_within_the_bound_or_a_single_item() -> None:
    sizes = {0: 3, 1: 4, 5: 3, 6: 25, 7: 0, 9: 10}
    assert list(groups(sizes, sizes.__getitem__, 10)) == [[0, 1, 5], [6], [7, 9]]
    assert list(groups([], sizes.__getitem__, 10)) == []


def test_a_group_has_at_most_the_longest_number_of_items() -> None:
    assert list(groups("abcde", lambda _: 1, 10, longest=2)) == [["a", "b"], ["c", "d"], ["e"]]
