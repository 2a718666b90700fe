"""The ADBC driver for PostgreSQL: Arrow over the PostgreSQL protocol."""

import os
from urllib.parse import quote

import adbc_driver_postgresql.dbapi as dbapi
import pyarrow

import adbc
from deeds import COLUMNS, ROWS, TYPES, VITALS, equal, run

connection = None
# The driver takes its address from an URI; what stands in libpq's variables need not be in it.
URI = f"postgresql://{quote(os.environ['PGUSER'])}@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"


def cursor():
    """A cursor that reads rows as rows; the driver would ask for COPY otherwise."""
    opened = connection.cursor()
    opened.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
    return opened


def connect():
    """TLS, verified, as libpq's variables say."""
    global connection
    connection = dbapi.connect(URI, autocommit=True)
    equal(connection.adbc_get_info()["vendor_name"], "PostgreSQL")


def tables():
    adbc.tables(connection)


def describe():
    adbc.describe(connection)
    described = adbc.public_tables(connection, "columns", table_name_filter="vitals")
    equal([column["column_name"] for column in described[0]["table_columns"]], VITALS)


def types():
    with cursor() as opened:
        opened.execute(f"SELECT {', '.join(COLUMNS)} FROM peer_types ORDER BY id")
        table = opened.fetch_arrow_table()
    rows = [tuple(row.values()) for row in table.to_pylist()]
    # The driver gives numeric as text, so that it loses nothing.
    expected = [row[:7] + ((str(row[7]) if row[7] is not None else None),) + row[8:] for row in TYPES]
    equal(rows, expected)
    equal(table.schema.field("tz").type, pyarrow.timestamp("us", tz="UTC"))


def parameters():
    with cursor() as opened:
        for column, values in zip(COLUMNS, zip(*TYPES)):
            for identity, value in zip((1, 2), values):
                if column == "n":
                    continue
                opened.execute(f"SELECT id FROM peer_types WHERE {column} = $1 AND id = $2", (value, identity))
                equal(opened.fetchall(), [(identity,)])
        opened.execute("SELECT $1::int + 1, $2::text IS NULL", (41, None))
        equal(opened.fetchall(), [(42, True)])


def a_million_rows():
    with cursor() as opened:
        opened.execute("SELECT heart_rate, ts FROM vitals")
        rows = sum(batch.num_rows for batch in opened.fetch_record_batch())
    equal(rows, ROWS)


def cancel():
    equal(adbc.cancel(cursor).sqlstate, "57014")


def error_and_go_on():
    equal(adbc.error_and_go_on(cursor).sqlstate, "42703")


def close():
    connection.close()


run([connect, tables, describe, types, parameters, a_million_rows, cancel, error_and_go_on, close])
