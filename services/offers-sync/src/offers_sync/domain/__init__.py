"""What the service knows, without any library of the outside: offers, answers, when to call."""
