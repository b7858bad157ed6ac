"""An Offers MS to run against: faithful to its documentation, and able to misbehave on request."""
