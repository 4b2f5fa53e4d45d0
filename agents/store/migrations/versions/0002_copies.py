"""Copies of DID logs and status lists that were fetched."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Bring the database to this revision."""
    op.create_table(
        "copy",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("edition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_copy"),
    )
    op.create_index("ix_copy_at", "copy", ["at"])


def downgrade() -> None:
    """Take it back."""
    op.drop_table("copy")
