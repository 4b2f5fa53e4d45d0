"""What is shown to everyone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# SQLite keeps a time as text of one width.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Make the table of publications."""
    op.create_table(
        "publication",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["credential"], ["credential.id"], name="fk_publication_credential"),
        sa.PrimaryKeyConstraint("number", name="pk_publication"),
        sa.UniqueConstraint("credential", name="uq_publication_credential"),
    )
    op.create_index("ix_publication_about", "publication", ["about", "number"])


def downgrade() -> None:
    """Show nothing to anyone."""
    op.drop_table("publication")
