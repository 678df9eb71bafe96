"""The queue's processes: a Celery application, its one task, and the sweeper beside it."""
