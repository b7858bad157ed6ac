"""What the catalog can be asked to do; each use case owns its transaction."""
