"""The ADBC driver for PostgreSQL: Arrow over the PostgreSQL protocol."""

import os
from urllib.parse import quote

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as dbapi
import pyarrow

from deeds import COLUMNS, ENDLESS, ROWS, TABLES, TYPES, VITALS, Patience, equal, later, run

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
    objects = connection.adbc_get_objects(depth="tables", db_schema_filter="public").read_all().to_pylist()
    schemas = {schema["db_schema_name"]: schema for found in objects for schema in found["catalog_db_schemas"] or []}
    equal(TABLES - {table["table_name"] for table in schemas["public"]["db_schema_tables"]}, set())


def describe():
    schema = connection.adbc_get_table_schema("vitals", db_schema_filter="public")
    equal(schema.names, VITALS)
    equal([str(kind) for kind in schema.types], ["int64", "int32", "int32", "int32", "int32", "timestamp[us]"])
    filters = {"db_schema_filter": "public", "table_name_filter": "vitals"}
    objects = connection.adbc_get_objects(depth="columns", **filters).read_all().to_pylist()
    schemas = [schema for found in objects for schema in found["catalog_db_schemas"] or []]
    columns = schemas[0]["db_schema_tables"][0]["table_columns"]
    equal([column["column_name"] for column in columns], VITALS)


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
    with cursor() as opened:
        later(0.5, opened.adbc_cancel)
        with Patience(15):
            try:
                opened.execute(ENDLESS)
                opened.fetchall()
                raise AssertionError("not cancelled")
            except adbc_driver_manager.Error as error:
                equal(error.sqlstate, "57014")
    with cursor() as opened:
        opened.execute("SELECT 1")
        equal(opened.fetchall(), [(1,)])


def error_and_go_on():
    with cursor() as opened:
        try:
            opened.execute("SELECT nothing FROM vitals")
            raise AssertionError("no error")
        except adbc_driver_manager.Error as error:
            equal(error.sqlstate, "42703")
            assert 'column "nothing" does not exist' in str(error), error
        opened.execute("SELECT 2")
        equal(opened.fetchall(), [(2,)])


def close():
    connection.close()


run([connect, tables, describe, types, parameters, a_million_rows, cancel, error_and_go_on, close])
