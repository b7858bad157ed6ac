"""What the service does, one class for each; a use case owns its transaction."""
