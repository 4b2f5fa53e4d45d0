"""The database fixture gives each test its own."""

import psycopg
from sqlalchemy import create_engine, make_url, text


def test_each_test_has_an_empty_database_of_its_own(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 0
        connection.execute(text("CREATE TABLE cell (code text)"))
    # Left open on purpose: the fixture drops the database of a test that did not tidy up.
    plain = make_url(postgresql_url).set(drivername="postgresql").render_as_string(hide_password=False)
    assert psycopg.connect(plain).execute("SELECT count(*) FROM cell").fetchone() == (0,)
