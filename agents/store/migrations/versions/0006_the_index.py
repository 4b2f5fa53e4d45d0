"""What others have published, and what it is found by."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# SQLite keeps a time as text of one width, and words as text with blanks between them.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.ARRAY(sa.Text()).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Make the index, empty."""
    op.create_table(
        "source",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.Column("at", MOMENT, nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_source"),
        sa.UniqueConstraint("issuer", name="uq_source_issuer"),
    )
    op.create_table(
        "indexed",
        sa.Column("place", NUMBER, autoincrement=False, nullable=False),
        sa.Column("source", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("words", WORDS, nullable=False),
        sa.ForeignKeyConstraint(["source"], ["source.number"], name="fk_indexed_source"),
        sa.PrimaryKeyConstraint("place", name="pk_indexed"),
        sa.UniqueConstraint("source", "id", name="uq_indexed_source_id"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE INDEX ix_indexed_words ON indexed USING gin (words) WITH (fastupdate = off)")
        return
    op.execute(
        "CREATE VIRTUAL TABLE indexed_words USING fts5(words, content='indexed', content_rowid='place',"
        " detail='none', columnsize=0, tokenize=\"ascii tokenchars '!#$%&()*+,-./:;<=>?@[]^_`{|}~'\")"
    )


def downgrade() -> None:
    """Forget the index; it can be read again from the issuers."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE indexed_words")
    op.drop_table("indexed")
    op.drop_table("source")
