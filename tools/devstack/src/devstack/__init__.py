"""Runs the whole system on one machine from real parts: what `make run` and the tests use."""
