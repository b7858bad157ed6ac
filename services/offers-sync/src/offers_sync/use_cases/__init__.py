"""What the service does; transaction boundaries are here."""
