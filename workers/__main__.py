"""Run one worker in this process: `python -P -m benchcoe_jobs.workers --name NAME`. `benchcoe-jobs worker` starts it.

Celery's own command is not used, because it imports the application with the working folder on the path.
"""

from __future__ import annotations

import argparse
import sys

from . import ending


def main() -> int:
    """Run the worker until it is stopped. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="benchcoe-jobs worker")
    parser.add_argument("--name", required=True)
    parser.add_argument("--queues", required=True)
    parser.add_argument("--log-level", required=True)
    parser.add_argument("--supervisor", type=int)
    options = parser.parse_args()
    if options.supervisor is not None:
        ending.end_with(options.supervisor)  # before the imports, which take a second

    from .app import app

    worker = app.Worker(hostname=options.name, queues=options.queues.split(","), loglevel=options.log_level)
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
