"""Profiling that stops on a subject when it is settled who wins it."""
