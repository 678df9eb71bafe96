"""All fault scenarios, by the databases on which they run.

The suite runs those of IN_THE_SUITE; `bench/faults.py --fast`, which is a part of `.ci/run`, runs all others once.
"""

from __future__ import annotations

from fault_ground import Scenario
from server_faults import (
    broker_emptied,
    broker_gone_for_5_s,
    broker_gone_for_good,
    connections_cut,
    cut_while_committing,
    database_restarted,
    database_restarted_under_commands,
    disk_full,
    eight_write_and_one_dies,
)
from stop_faults import (
    cancelled_in_mid_shard,
    foreground_interrupted_twice,
    foreground_interrupted_while_it_waits,
    interrupted_twice,
    terminal_closed,
    told_to_quit,
    told_to_stop,
)
from worker_faults import (
    child_killed_in_mid_sweep,
    engine_core_killed,
    engine_host_killed,
    one_clock_is_wrong,
    poisoned_shard,
    tickets_by_the_thousand,
    tickets_lost,
    whole_worker_killed,
    worker_child_killed,
    worker_parent_killed,
    worker_stopped_past_its_lease,
)

EVERYWHERE: tuple[Scenario, ...] = (
    worker_child_killed,
    worker_parent_killed,
    whole_worker_killed,
    poisoned_shard,
    worker_stopped_past_its_lease,
    foreground_interrupted_twice,
)
"""On both databases."""

ON_POSTGRES: tuple[Scenario, ...] = (
    engine_host_killed,
    broker_gone_for_5_s,
    broker_emptied,
    broker_gone_for_good,
    connections_cut,
    cut_while_committing,
    one_clock_is_wrong,
    tickets_by_the_thousand,
    tickets_lost,
    cancelled_in_mid_shard,
    told_to_stop,
    told_to_quit,
    interrupted_twice,
    foreground_interrupted_while_it_waits,
)

WITH_VLLM: tuple[Scenario, ...] = (engine_core_killed,)

ON_SQLITE: tuple[Scenario, ...] = (
    eight_write_and_one_dies,
    disk_full,
    child_killed_in_mid_sweep,
    terminal_closed,
)

ON_A_POSTGRES_OF_OUR_OWN: tuple[Scenario, ...] = (database_restarted, database_restarted_under_commands)

SQLITE, POSTGRESQL = DATABASES = ("SQLite", "PostgreSQL")

IN_THE_SUITE: tuple[tuple[Scenario, str], ...] = (
    (worker_child_killed, SQLITE),
    (disk_full, SQLITE),
    (worker_parent_killed, POSTGRESQL),
)
"""The shortest of each kind, with the database: a fault of the basic mechanism shows in minutes."""


def pairs() -> list[tuple[Scenario, str]]:
    """Every scenario with each of its databases; without those that need vLLM."""
    on_postgres = [*ON_POSTGRES, *ON_A_POSTGRES_OF_OUR_OWN]
    return [
        *((each, database) for each in EVERYWHERE for database in DATABASES),
        *((each, POSTGRESQL) for each in on_postgres),
        *((each, SQLITE) for each in ON_SQLITE),
    ]
