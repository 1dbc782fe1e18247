"""Benchmarks: tables printed and written to docs/benchmarks.md. They judge aims, they never assert a time."""
