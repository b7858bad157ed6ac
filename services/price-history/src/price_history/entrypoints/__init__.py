"""What starts the service: the command line, the HTTP application, the worker."""
