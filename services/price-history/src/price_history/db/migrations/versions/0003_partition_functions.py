"""Two functions that add and drop the partition of a month.

They run as the owner of the tables, so that the role that the services run in needs no right to make or drop anything
else. Whoever may enter the database may call them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ADD_MONTH = """
CREATE FUNCTION add_month(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
  name text := 'chunks_' || to_char(month, 'YYYY_MM');
  begins timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
  following timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
  LOCK TABLE chunks_default IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('CREATE TABLE %I (LIKE chunks INCLUDING ALL)', name);
  EXECUTE format(
    'WITH moved AS (DELETE FROM chunks_default WHERE ends >= $1 AND ends < $2 RETURNING *)
     INSERT INTO %I SELECT * FROM moved', name
  ) USING begins, following;
  EXECUTE format('ALTER TABLE chunks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, begins, following);
END
$$
"""

_DROP_MONTH = """
CREATE FUNCTION drop_month(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
BEGIN
  EXECUTE format('DROP TABLE IF EXISTS %I', 'chunks_' || to_char(month, 'YYYY_MM'));
END
$$
"""


def upgrade() -> None:
    schema: str = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    for function in (_ADD_MONTH, _DROP_MONTH):
        op.execute(function.format(schema=schema))
