"""The service's own database: its tables, and what is read from and written to them."""
