"""PostgreSQL: tables, statements, transactions."""
