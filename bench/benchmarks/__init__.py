"""One module for each benchmark; each has one function that measures and returns an `Outcome`."""
