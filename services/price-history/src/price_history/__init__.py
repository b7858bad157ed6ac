"""Keeps the history of every price and computes trends."""
