"""The tables of the job queue, and the statements that change them."""
