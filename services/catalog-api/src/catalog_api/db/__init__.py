"""The catalog's own database: tables, statements, migrations."""
