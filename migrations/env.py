"""Alembic's environment: online only, one transaction a revision, the URL from whoever calls."""

from alembic import context

from api.store import tables
from api.store.database import open_engine

url = context.config.get_main_option("sqlalchemy.url")
assert url is not None
keystore = (context.config.get_main_option("version_locations") or "").endswith("keystore")
engine = open_engine(url)
try:
    with engine.connect().execution_options(writes=True) as connection:
        if connection.dialect.name == "postgresql":
            # Processes that start together migrate one after the other, however long the first one takes; the lock ends
            # with the connection.
            connection.exec_driver_sql("SET lock_timeout = 0")
            connection.exec_driver_sql("SELECT pg_advisory_lock(hashtext('credence migrations'))")
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=tables.KeystoreModel.metadata if keystore else tables.Model.metadata,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
finally:
    engine.dispose()
