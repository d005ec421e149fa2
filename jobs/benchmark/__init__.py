"""Measures the program side by side with its limits and with what one could use instead.

One module a verb; :mod:`jobs.benchmark.rounds` is how all of them measure, and
``docs/benchmarks/README.md`` how to read what they say.
"""
