"""The market: a clock that counts ticks, offers that walk with it, and what is said about a product now."""
