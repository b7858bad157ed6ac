"""What a price history is and what follows from it; pure, nothing here reads or writes."""
