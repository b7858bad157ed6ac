"""The latest events of the log in this process, read once for all who follow them over HTTP."""
