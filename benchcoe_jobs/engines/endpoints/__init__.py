"""The engine `openai`: its requests, answers, refusals and faults."""
