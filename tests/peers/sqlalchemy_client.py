"""SQLAlchemy 2.1 over psycopg: reflection, Core, and pandas over it."""

import sqlalchemy as sa
from sqlalchemy import exc

import pandas

from deeds import COLUMNS, ENDLESS, TABLES, TYPES, VITALS, Patience, equal, run, when_running

engine = sa.create_engine("postgresql+psycopg://")
ROWS_READ = 200_000


def connect():
    """TLS, verified, as libpq's variables say."""
    with engine.connect() as connection:
        assert connection.connection.driver_connection.pgconn.ssl_in_use
        equal(connection.dialect.server_version_info[0], 15)
        equal(connection.dialect.default_schema_name, "public")


def tables():
    inspector = sa.inspect(engine)
    assert "public" in inspector.get_schema_names(), inspector.get_schema_names()
    equal(TABLES - set(inspector.get_table_names()), set())
    equal(inspector.has_table("vitals"), True)
    equal(inspector.has_table("nothing_here"), False)
    equal(set(inspector.get_view_names()) & TABLES, set())
    equal(inspector.get_materialized_view_names(), [])
    equal(inspector.get_sequence_names(), [])
    equal(inspector.get_enums(), [])
    equal(inspector.get_domains(), [])


def describe():
    """Everything that the inspector can ask about one table."""
    inspector = sa.inspect(engine)
    columns = inspector.get_columns("peer_types")
    equal([column["name"] for column in columns][: len(COLUMNS)], COLUMNS)
    shown = [str(column["type"]) for column in columns][: len(COLUMNS)]
    equal(shown, ["INTEGER", "BOOLEAN", "SMALLINT", "INTEGER", "BIGINT", "REAL", "DOUBLE PRECISION", "NUMERIC(12, 3)",
                  "TEXT", "BYTEA", "DATE", "TIMESTAMP", "TIMESTAMP"])  # fmt: skip
    by_name = {column["name"]: column["type"] for column in columns}
    equal((by_name["ts"].timezone, by_name["tz"].timezone), (False, True))
    equal(inspector.get_pk_constraint("vitals")["constrained_columns"], [])
    equal(inspector.get_foreign_keys("vitals"), [])
    equal(inspector.get_indexes("vitals"), [])
    equal(inspector.get_unique_constraints("vitals"), [])
    equal(inspector.get_check_constraints("vitals"), [])
    equal(inspector.get_table_comment("vitals"), {"text": None})
    equal(inspector.get_table_options("vitals"), {})


def reflect_all():
    """All tables at once, then a query made of what was found."""
    metadata = sa.MetaData()
    metadata.reflect(engine)
    equal(TABLES - set(metadata.tables), set())
    vitals = metadata.tables["vitals"]
    equal([column.name for column in vitals.columns], VITALS)
    query = sa.select(vitals.c.hospital_id, sa.func.count()).group_by(vitals.c.hospital_id).order_by(sa.text("1"))
    with engine.connect() as connection:
        assert len(connection.execute(query).all()) > 1


def types():
    table = sa.Table("peer_types", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        chosen = [table.c[name] for name in COLUMNS]
        equal([tuple(row) for row in connection.execute(sa.select(*chosen).order_by(table.c.id))], TYPES)


def parameters():
    """SQLAlchemy writes a cast at each parameter: %(b_1)s::BOOLEAN."""
    table = sa.Table("peer_types", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        for column, values in zip(COLUMNS, zip(*TYPES)):
            for identity, value in zip((1, 2), values):
                query = sa.select(table.c.id).where(table.c[column] == value, table.c.id == identity)
                equal(connection.execute(query).scalar_one_or_none(), identity)
        query = sa.select(table.c.id).where(table.c.id.in_([1, 3, 5])).order_by(table.c.id).limit(10).offset(1)
        equal(connection.execute(query).scalars().all(), [3])
        query = sa.select(table.c.id).where(table.c.t.ilike("zür%"))
        equal(connection.execute(query).scalars().all(), [1])


def pandas_reads():
    with engine.connect() as connection:
        frame = pandas.read_sql(sa.text("SELECT * FROM peer_types ORDER BY id"), connection)
        equal(list(frame["t"][:2]), [TYPES[0][8], TYPES[1][8]])
        equal(frame["f8"][0], 0.1)
        frame = pandas.read_sql_table("hospitals", connection)
        assert "hospital_id" in frame.columns, frame.columns


def many_rows():
    """Many rows in chunks: SQLAlchemy fetches them in one go unless it is told to use a cursor of SQL's."""
    with engine.connect() as connection:
        query = f"SELECT heart_rate, ts FROM vitals LIMIT {ROWS_READ}"
        chunks = pandas.read_sql(sa.text(query), connection, chunksize=50_000)
        equal([len(chunk) for chunk in chunks], [50_000] * 4)


def cancel():
    with engine.connect() as connection:
        when_running(connection.connection.driver_connection.cancel_safe)
        with Patience(60):
            try:
                connection.execute(sa.text(ENDLESS))
                raise AssertionError("not cancelled")
            except exc.OperationalError as error:
                equal(error.orig.sqlstate, "57014")
        connection.rollback()
        equal(connection.execute(sa.text("SELECT 1")).scalar_one(), 1)


def error_and_go_on():
    with engine.connect() as connection:
        try:
            connection.execute(sa.text("SELECT nothing FROM vitals"))
            raise AssertionError("no error")
        except exc.ProgrammingError as error:
            equal(error.orig.sqlstate, "42703")
        try:
            connection.execute(sa.text("SELECT 1"))
            raise AssertionError("the transaction went on after an error")
        except exc.InternalError as error:
            equal(error.orig.sqlstate, "25P02")
        connection.rollback()
        equal(connection.execute(sa.text("SELECT 2")).scalar_one(), 2)


def pool():
    """A connection goes back to the pool and is used again; the pool asks first whether it still lives."""
    pinging = sa.create_engine("postgresql+psycopg://", pool_size=1, max_overflow=0, pool_pre_ping=True)
    for place in range(3):
        with pinging.connect() as connection:
            equal(connection.execute(sa.text("SELECT :n"), {"n": place}).scalar_one(), place)
    pinging.dispose()


run([
    connect, tables, describe, reflect_all, types, parameters, pandas_reads, many_rows, cancel, error_and_go_on, pool,
])  # fmt: skip
