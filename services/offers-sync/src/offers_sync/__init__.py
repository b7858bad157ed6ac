"""Registers products with the Offers microservice, polls their offers, and publishes what changed."""
