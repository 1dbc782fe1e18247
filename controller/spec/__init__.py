"""Data only: each table here is the one source of its fact. emit.py turns the tables into headers and docs."""
