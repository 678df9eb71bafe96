"""The job queue: jobs, leases and the executor that runs shards. It knows no kind of job."""
