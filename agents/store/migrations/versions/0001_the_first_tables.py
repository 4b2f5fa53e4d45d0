"""The first tables."""

import sqlalchemy as sa
from alembic import op

from agents.store.migrations.triggers import append_only

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# SQLite keeps a time as text of one width.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Bring the database to this revision."""
    op.create_table(
        "account",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("rank", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_account"),
    )
    op.create_table(
        "credential",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_credential"),
        sa.UniqueConstraint("id", name="uq_credential_id"),
    )
    op.create_index("ix_credential_about", "credential", ["about", "type"])

    op.create_table(
        "done",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("thread", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_done"),
    )
    op.create_table(
        "event",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_event"),
        sa.UniqueConstraint("id", name="uq_event_id"),
    )
    op.create_index("ix_event_item", "event", ["item", "at"])

    op.create_table(
        "evidence",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_evidence"),
        sa.UniqueConstraint("digest", name="uq_evidence_digest"),
    )
    op.create_index(
        "ix_evidence_awaited",
        "evidence",
        ["number"],
        sqlite_where=sa.text("state = 'awaited'"),
        postgresql_where=sa.text("state = 'awaited'"),
    )

    op.create_table(
        "item",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("registrar", sa.Text(), nullable=False),
        sa.Column("part_of", sa.Text(), nullable=True),
        sa.Column("made_of", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_folded", sa.Text(), nullable=False),
        sa.Column("chemistry", sa.Text(), nullable=False),
        sa.Column("mass_kg", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("code", name="pk_item"),
    )
    op.create_index("ix_item_kind", "item", ["kind"])
    op.create_index("ix_item_part_of", "item", ["part_of"])

    op.create_table(
        "job",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_job"),
        sa.UniqueConstraint("id", name="uq_job_id"),
    )
    op.create_index("ix_job_state", "job", ["state"])

    op.create_table(
        "login_failure",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_login_failure"),
    )
    op.create_index("ix_login_failure_at", "login_failure", ["at"])
    op.create_index("ix_login_failure_who", "login_failure", ["who", "at"])

    op.create_table(
        "measurement",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("measurement", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_measurement"),
        sa.UniqueConstraint("item", "digest", name="uq_measurement_item_digest"),
    )
    op.create_index("ix_measurement_subject", "measurement", ["subject"])

    op.create_table(
        "pass",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("rank", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("expires", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_pass"),
        sa.UniqueConstraint("digest", name="uq_pass_digest"),
    )
    op.create_index("ix_pass_expires", "pass", ["expires"])
    op.create_index("ix_pass_user", "pass", ["user"])

    op.create_table(
        "peer",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=True),
        sa.Column("our_did", sa.Text(), nullable=False),
        sa.Column("their_did", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_peer"),
        sa.UniqueConstraint("connection", name="uq_peer_connection"),
        sa.UniqueConstraint("id", name="uq_peer_id"),
    )
    op.create_index("ix_peer_did", "peer", ["did"])

    op.create_table(
        "qualification",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("qualification", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("worker", "qualification", name="pk_qualification"),
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
    )
    op.create_table(
        "alias",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["peer"], ["peer.id"], name="fk_alias_peer"),
        sa.PrimaryKeyConstraint("id", name="pk_alias"),
    )
    op.create_index("ix_alias_peer", "alias", ["peer"])

    op.create_table(
        "exchange",
        sa.Column("thread", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("ours", sa.Boolean(), nullable=False),
        sa.Column("opened", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["peer"], ["peer.id"], name="fk_exchange_peer"),
        sa.PrimaryKeyConstraint("thread", name="pk_exchange"),
    )
    op.create_index("ix_exchange_about", "exchange", ["about"])
    op.create_index(
        "ix_exchange_ours",
        "exchange",
        ["updated", "thread"],
        sqlite_where=sa.text("ours = 1"),
        postgresql_where=sa.text("ours"),
    )
    op.create_index("ix_exchange_peer", "exchange", ["peer"])
    op.create_index("ix_exchange_protocol_state", "exchange", ["protocol", "state"])
    op.create_index("ix_exchange_updated", "exchange", ["updated", "thread"])

    op.create_table(
        "message",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("outward", sa.Boolean(), nullable=False),
        sa.Column("thread", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sender_order", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("credentials", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", MOMENT, nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["peer"], ["peer.id"], name="fk_message_peer"),
        sa.PrimaryKeyConstraint("number", name="pk_message"),
        sa.UniqueConstraint("peer", "id", name="uq_message_peer_id"),
        sa.UniqueConstraint("thread", "place", name="uq_message_thread_place"),
    )
    op.create_index(
        "ix_message_dead",
        "message",
        ["number"],
        sqlite_where=sa.text("status = 'dead'"),
        postgresql_where=sa.text("status = 'dead'"),
    )
    op.create_index(
        "ix_message_queued",
        "message",
        ["peer", "number", "next_at"],
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_message_waiting",
        "message",
        ["peer", "thread", "sender_order"],
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )

    op.create_table(
        "part",
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("container", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["container"], ["item.code"], name="fk_part_container"),
        sa.PrimaryKeyConstraint("item", "container", name="pk_part"),
    )
    op.create_index("ix_part_container", "part", ["container"])

    append_only("event")
    append_only("measurement")


def downgrade() -> None:
    """Refuse: there is nothing before the first tables."""
    raise NotImplementedError("there is nothing before the first tables")
