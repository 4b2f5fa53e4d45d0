"""The registry of DIDs."""

import sqlalchemy as sa
from alembic import op

from agents.store.migrations.triggers import append_only

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Bring the database to this revision."""
    op.create_table(
        "did",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("approvals", sa.Text(), nullable=False),
        sa.Column("whois", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_did"),
        sa.UniqueConstraint("id", name="uq_did_id"),
    )
    op.create_table(
        "did_code",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("expires", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_did_code"),
    )
    op.create_table(
        "did_entry",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["name"], ["did.name"], name="fk_did_entry_name"),
        sa.PrimaryKeyConstraint("name", "number", name="pk_did_entry"),
    )
    append_only("did_entry")


def downgrade() -> None:
    """Refuse: what is registered cannot be forgotten."""
    raise NotImplementedError("what is registered cannot be forgotten")
