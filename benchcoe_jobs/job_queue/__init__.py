"""The job queue: jobs, leases, and the executor that runs shards. It does not depend on any kind of job."""
