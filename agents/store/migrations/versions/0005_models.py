"""Models of states of health that a company adopted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Bring the database to this revision."""
    op.create_table(
        "model",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("cell_model", sa.Text(), nullable=False),
        sa.Column("signer", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("in_use", sa.Boolean(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_model"),
        sa.UniqueConstraint("digest", name="uq_model_digest"),
    )
    op.create_index("ix_model_cell_model", "model", ["cell_model"])
