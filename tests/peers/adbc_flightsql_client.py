"""The ADBC driver for Flight SQL."""

import os

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager
import pyarrow
from adbc_driver_flightsql import DatabaseOptions

import adbc
from deeds import COLUMNS, ROWS, TYPES, equal, run

connection = None


def connect():
    """TLS, verified against the server's own authority."""
    global connection
    with open(os.environ["PGSSLROOTCERT"]) as file:
        authority = file.read()
    options = {"username": os.environ["PGUSER"], "password": os.environ["PGPASSWORD"]}
    try:
        with dbapi.connect(os.environ["LAKEWARD_FLIGHT"], db_kwargs=options, autocommit=True) as other:
            other.adbc_get_table_types()
        raise AssertionError("connected without the authority")
    except adbc_driver_manager.Error as error:
        assert "certificate" in str(error), error
    options[DatabaseOptions.TLS_ROOT_CERTS.value] = authority
    connection = dbapi.connect(os.environ["LAKEWARD_FLIGHT"], db_kwargs=options, autocommit=True)
    equal(connection.adbc_get_info()["vendor_name"], "Lakeward")


def tables():
    adbc.tables(connection)


def describe():
    adbc.describe(connection)


def types():
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM peer_types ORDER BY id")
        table = cursor.fetch_arrow_table()
    equal([tuple(row.values()) for row in table.to_pylist()], TYPES)
    equal(table.schema.field("tz").type, pyarrow.timestamp("us", tz="UTC"))
    equal(table.schema.field("n").type, pyarrow.decimal128(12, 3))


def parameters():
    with connection.cursor() as cursor:
        for column, values in zip(COLUMNS, zip(*TYPES)):
            for identity, value in zip((1, 2), values):
                cursor.execute(f"SELECT id FROM peer_types WHERE {column} = $1 AND id = $2", (value, identity))
                equal(cursor.fetchall(), [(identity,)])
        cursor.execute("SELECT $1::int + 1, $2::text IS NULL", (41, None))
        equal(cursor.fetchall(), [(42, True)])


def a_million_rows():
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(heart_rate) FROM vitals")
        total = cursor.fetchall()[0][0]
        cursor.execute("SELECT * FROM vitals")
        rows, rates = 0, 0
        for batch in cursor.fetch_record_batch():
            rows, rates = rows + batch.num_rows, rates + pyarrow.compute.sum(batch.column(2)).as_py()
    equal((rows, rates), (ROWS, total))


def cancel():
    equal(adbc.cancel(connection.cursor).status_code, adbc_driver_manager.AdbcStatusCode.CANCELLED)


def error_and_go_on():
    adbc.error_and_go_on(connection.cursor)


def close():
    connection.close()


run([connect, tables, describe, types, parameters, a_million_rows, cancel, error_and_go_on, close])
