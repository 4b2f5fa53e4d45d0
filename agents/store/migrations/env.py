"""How Alembic runs our migrations: on the connection it is given, or for developers on a URL (-x url=…)."""

from alembic import context
from sqlalchemy import Connection

from agents.store.engine import make_engine, read_url
from agents.store.tables import METADATA, is_by_hand


def run(connection: Connection) -> None:
    """Run the migrations asked for."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=True,
        include_name=lambda name, *_: not is_by_hand(name),
    )
    with context.begin_transaction():
        context.run_migrations()


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    with make_engine(
        read_url(context.get_x_argument(as_dictionary=True)["url"]), reading=False
    ).begin() as own:
        run(own)
