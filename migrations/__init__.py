"""Alembic: the only way in which a Credence database is made or changed."""
