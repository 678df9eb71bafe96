"""Read an experiment from a TOML file: its pools, protocols, routers and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from benchcoe_jobs import registry
from benchcoe_jobs.characters import MAX_NAME, new_name_fault
from benchcoe_jobs.domain import Level, Policy
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.files import read_toml
from benchcoe_jobs.routers.fallback import DEFAULT_MAX_FALLBACK


class Protocol(StrEnum):
    """The distributions of the paper (section 4): naive, in distribution, and three ways out of distribution."""

    NAIVE = "naive"
    IN_DISTRIBUTION = "in-distribution"
    HELD_OUT_SUBJECTS = "held-out-subjects"
    HELD_OUT_SOURCES = "held-out-sources"
    OTHER_BENCHMARK = "other-benchmark"


@dataclass(frozen=True, slots=True)
class RouterSpec:
    """A router that is trained once for every pool, protocol, fold and seed, with the options of `train-router`."""

    name: str
    level: Level = Level.SUBJECT
    kind: str = "tfidf"
    head: str | None = None
    encoder: str | None = None
    revision: str | None = None
    image_encoder: str | None = None
    policy: Policy = Policy.BEST
    max_fallback: float = DEFAULT_MAX_FALLBACK


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment, as read from its file.

    `pools` maps names to experts; without experts it is the pool of that name in the store. Seed 0 keeps the splits of
    the queries in the store. Any other seed assigns them to splits again, 60/10/30.
    """

    benchmark: str
    protocols: tuple[Protocol, ...]
    pools: dict[str, tuple[str, ...]]
    routers: tuple[RouterSpec, ...]
    seeds: tuple[int, ...] = (0,)
    other_benchmark: str | None = None
    title: str = ""


_Choice = TypeVar("_Choice", bound=StrEnum)


def read_experiment(path: Path) -> Experiment:
    """The experiment in a TOML file. Raises InputError, which names the wrong key, if it is not valid."""
    document = read_toml(path)
    try:
        return _experiment(document)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: {what}") from error


def _experiment(document: Mapping[str, Any]) -> Experiment:
    _require_keys("the file", document, {field.name for field in fields(Experiment)})
    protocols = tuple(_one_of("protocols", name, Protocol) for name in _list(document, "protocols"))
    if (Protocol.OTHER_BENCHMARK in protocols) != ("other_benchmark" in document):
        raise ValueError(f"protocol {Protocol.OTHER_BENCHMARK} and the key other_benchmark need each other")
    if document.get("other_benchmark", "") == document["benchmark"]:
        raise ValueError("other_benchmark: a benchmark other than the key benchmark is expected")
    pools = document["pools"]
    if not isinstance(pools, dict) or not pools:
        raise ValueError("pools: a table of names with lists of experts is expected")
    for name, members in pools.items():
        _require_name("pools", name)
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            raise ValueError(f"pools: {name}: a list of names of experts is expected")
    seeds = document.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ValueError("seeds: a list of whole numbers from 0 is expected")
    return Experiment(
        benchmark=_text(document, "benchmark"),
        protocols=protocols,
        pools={name: tuple(members) for name, members in pools.items()},
        routers=_routers(_list(document, "routers")),
        seeds=tuple(dict.fromkeys(seeds)),
        other_benchmark=_text(document, "other_benchmark") if "other_benchmark" in document else None,
        title=_text(document, "title") if document.get("title") else "",
    )


def _routers(rows: list[Any]) -> tuple[RouterSpec, ...]:
    routers = []
    for row in rows:
        _require_keys("routers", row, {field.name for field in fields(RouterSpec)})
        kind = row.get("kind", "tfidf")
        if kind not in registry.names("routers"):
            raise ValueError(f"routers: unknown kind {kind!r}; the kinds are {', '.join(registry.names('routers'))}")
        level = _one_of("level", row.get("level", Level.SUBJECT), Level)
        policy = _one_of("policy", row.get("policy", Policy.BEST), Policy)
        share = row.get("max_fallback", DEFAULT_MAX_FALLBACK)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"max_fallback: a number from 0 to 1 is expected, not {share!r}")
        texts = {key: _text(row, key) for key in ("head", "encoder", "revision", "image_encoder") if key in row}
        name = _text(row, "name")
        _require_name("routers", name)
        routers.append(RouterSpec(name, level, kind, policy=policy, max_fallback=share, **texts))
    if len({router.name for router in routers}) < len(routers):
        raise ValueError("routers: two have the same name")
    return tuple(routers)


def _require_keys(where: str, table: Any, known: set[str]) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"{where}: a table is expected")
    if unknown := sorted(table.keys() - known):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(known))}")


def _list(table: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(table[key], list) or not table[key]:
        raise ValueError(f"{key}: a list with at least one entry is expected")
    return list(table[key])


def _text(table: Mapping[str, Any], key: str) -> str:
    if not isinstance(table[key], str) or not table[key]:
        raise ValueError(f"{key}: a text is expected")
    return str(table[key])


def _require_name(key: str, name: str) -> None:
    if fault := new_name_fault(name):
        raise ValueError(f"{key}: {name[:MAX_NAME]!r}: {fault}")


def _one_of(key: str, value: Any, known: type[_Choice]) -> _Choice:
    if value not in list(known):
        raise ValueError(f"{key}: unknown value {value!r}; choose one of {', '.join(known)}")
    return known(value)
