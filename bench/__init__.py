"""Benchmarks: every figure next to its baseline, measured in the same run on the same machine (`make bench`)."""
