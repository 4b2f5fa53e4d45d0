"""Our status lists, what became of credentials, and the message that a credential stands or falls with."""

import sqlalchemy as sa
from alembic import op

from agents.store.migrations.triggers import append_only

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Bring the database to this revision."""
    op.add_column("credential", sa.Column("message", sa.Text(), nullable=False, server_default=""))
    op.create_index(
        "ix_credential_message",
        "credential",
        ["message"],
        sqlite_where=sa.text("message <> ''"),
        postgresql_where=sa.text("message <> ''"),
    )
    op.create_table(
        "standing",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("successor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_standing"),
    )
    op.create_index("ix_standing_credential", "standing", ["credential"])
    op.create_table(
        "status_list",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("bits", sa.LargeBinary(), nullable=False),
        sa.Column("given", sa.LargeBinary(), nullable=False),
        sa.Column("decoys", sa.LargeBinary(), nullable=False),
        sa.Column("edition", sa.Text(), nullable=False),
        sa.Column("signed", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_status_list"),
        sa.UniqueConstraint("id", name="uq_status_list_id"),
        sa.UniqueConstraint("url", name="uq_status_list_url"),
    )
    append_only("standing")


def downgrade() -> None:
    """Take it back."""
    op.drop_table("status_list")
    op.drop_table("standing")
    op.drop_index("ix_credential_message", "credential")
    op.drop_column("credential", "message")
