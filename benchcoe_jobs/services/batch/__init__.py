"""MicroBatch files in OpenAI's format: each line is routed to one expert and answered."""
