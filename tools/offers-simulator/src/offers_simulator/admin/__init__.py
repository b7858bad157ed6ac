"""The admin API: what people and tests use to drive the simulator. `admin/api.py` documents it."""
