"""The product catalog: its REST API, its events, its view of the offers."""
