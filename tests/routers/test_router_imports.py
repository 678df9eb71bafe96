"""Heavy packages are imported when they are needed, not before."""

from __future__ import annotations

import subprocess
import sys

CHECK = """
import importlib, pkgutil, sys
import benchcoe_jobs.routers as room
names = [module.name for module in pkgutil.iter_modules(room.__path__, room.__name__ + ".")]
# tfidf is the only one to need scikit-learn at once
names.remove("benchcoe_jobs.routers.tuning")  # bert imports it where it trains
for name in sorted(names, key=lambda name: name.endswith(".tfidf")):
    importlib.import_module(name)
    heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub"} & set(sys.modules)
    assert not heavy, (name, heavy)
    if not name.endswith(".tfidf"):
        assert "sklearn" not in sys.modules, name
"""


def test_the_room_imports_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", CHECK], check=True, timeout=60)
