"""Heavy packages are imported when they are needed, not with the package."""

from __future__ import annotations

import subprocess
import sys

CHECK = """
import importlib, pkgutil, sys
import benchcoe_jobs.routers as package
names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
# only tfidf, and the kinds that use it, need scikit-learn when they are imported
# bert imports these when it trains, and vision the last if its network is used
for name in ("fine_tuning.tuning", "fine_tuning.hf_trainer", "fine_tuning.objectives", "pictures.efficientnet"):
    names.remove(f"benchcoe_jobs.routers.{name}")
for name in sorted(names, key=lambda name: name.endswith((".tfidf", ".vision", ".cascades.kind"))):
    importlib.import_module(name)
    heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub"} & set(sys.modules)
    assert not heavy, (name, heavy)
    if not name.endswith((".tfidf", ".vision", ".cascades.kind")):
        assert "sklearn" not in sys.modules, name
"""


def test_the_package_imports_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", CHECK], check=True, timeout=300)
