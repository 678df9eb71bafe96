"""Files in OpenAI's batch format: each line is routed to one expert, which answers it."""
