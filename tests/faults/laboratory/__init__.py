"""What the fault suite is made of: a stack behind proxies, a load, a record of what was published, and the books."""
