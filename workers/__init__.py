"""The worker processes: a Celery application, its only task, and the sweeper in its parent process."""
