"""How the outside reaches the use cases: HTTP, the broker, the command line."""
