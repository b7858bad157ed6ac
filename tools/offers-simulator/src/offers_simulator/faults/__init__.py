"""Misbehaviour on request: what can go wrong, when it does, and how it looks on the wire."""
