"""No call of a model library leaves open whether code that comes with a model may run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchcoe_jobs

OPTION = "trust_remote_code"
LOADERS = ("from_pretrained", "from_config", "SentenceTransformer", "AsyncEngineArgs", "EngineArgs", "LLM", "pipeline")
ROOT = Path(benchcoe_jobs.__file__).parent
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if any(f"{name}(" in path.read_text() for name in LOADERS)]


def allowed(value: ast.expr) -> bool:
    """Whether it is False, or the option of an expert that its user has set."""
    return ast.unparse(value) in ("False", f"settings.{OPTION}")


def dicts(tree: ast.Module) -> dict[str, ast.Dict]:
    """The dict literals of a module, by the name or attribute that they are assigned to."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found[ast.unparse(target)] = node.value
    return found


def options(call: ast.Call, known: dict[str, ast.Dict]) -> Iterator[ast.expr]:
    """The values of the option in a call, also in a dict that it unpacks."""
    for keyword in call.keywords:
        if keyword.arg == OPTION:
            yield keyword.value
        elif keyword.arg is None and (unpacked := known.get(ast.unparse(keyword.value))):
            for key, value in zip(unpacked.keys, unpacked.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == OPTION:
                    yield value


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_loader_is_told_not_to_run_code(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in LOADERS
    ]
    assert calls
    for call in calls:
        values = list(options(call, dicts(tree)))
        assert len(values) == 1, f"line {call.lineno} leaves {OPTION} open"
        assert allowed(values[0]), f"line {call.lineno}"


def test_the_modules_that_load_models_are_found() -> None:
    assert {"encoder.py", "transformer.py", "model.py"} <= {path.name for path in MODULES}
