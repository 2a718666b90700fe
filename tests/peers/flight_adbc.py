"""ADBC Flight SQL as data scientists use it: executemany, parameters, bulk loads, metadata, cancelling.

usage: flight_adbc.py URL USER PASSWORD CA
"""

import sys

import adbc_driver_flightsql.dbapi as flight
import adbc_driver_manager
import pyarrow
from adbc_driver_flightsql import DatabaseOptions


def main(url, user, password, ca):
    with open(ca) as file:
        options = {"username": user, "password": password, DatabaseOptions.TLS_ROOT_CERTS.value: file.read()}
    with flight.connect(url, db_kwargs=options, autocommit=True) as connection:
        parameters(connection)
        loads(connection)
        metadata(connection)
        options_of(connection)


def parameters(connection):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE many (a bigint, b text)")
        cursor.executemany("INSERT INTO many VALUES ($1, $2)", [(n, f"row {n}") for n in range(5000)])
        print("executemany", cursor.rowcount)
        cursor.executemany("UPDATE many SET b = $2 WHERE a = $1", [(1, "one"), (2, None)])
        print("updated", cursor.rowcount)
        cursor.execute("SELECT a, b FROM many WHERE a < $1 ORDER BY a", (3,))
        print(cursor.fetchall())
        try:
            cursor.execute("SELECT a FROM many WHERE a = $1")
            cursor.fetchall()
            print("no error")
        except adbc_driver_manager.Error as error:
            print("unbound", error.sqlstate or error.status_code.name)
        cursor.execute("SELECT count(*) FROM many")
        print("goes on", cursor.fetchone())


def loads(connection):
    table = pyarrow.table({"a": pyarrow.array([1, 2, None], pyarrow.int64()), "c": ["x", None, "z"]})
    with connection.cursor() as cursor:
        for mode in ("create", "append", "create_append", "replace"):
            print(mode, cursor.adbc_ingest("loaded", table, mode=mode))
        try:
            cursor.adbc_ingest("loaded", table, mode="create")
            print("no error")
        except adbc_driver_manager.Error as error:
            print("exists", error.sqlstate or error.status_code.name)
        cursor.execute("SELECT a, c FROM loaded ORDER BY a")
        print(cursor.fetchall())
        large = pyarrow.table({"a": pyarrow.array(range(1_000_000), pyarrow.int64())})
        batches = large.to_reader(max_chunksize=100_000)
        print("large", cursor.adbc_ingest("large", batches, mode="create"))
        cursor.execute("SELECT count(*), sum(a) FROM large")
        print(cursor.fetchone())
        try:
            wrong = large.rename_columns(["nowhere"]).to_reader(max_chunksize=100_000)
            cursor.adbc_ingest("large", wrong, mode="append")
            print("no error")
        except adbc_driver_manager.Error as error:
            print("refused in the middle", error.sqlstate or error.status_code.name)


def metadata(connection):
    objects = connection.adbc_get_objects(depth="all", table_name_filter="loaded").read_all().to_pylist()
    schemas = {schema["db_schema_name"]: schema["db_schema_tables"] for schema in objects[0]["catalog_db_schemas"]}
    for table in schemas["public"]:
        columns = [(column["column_name"], column["ordinal_position"]) for column in table["table_columns"]]
        print(table["table_name"], table["table_type"], columns, table["table_constraints"])
    print(connection.adbc_get_table_schema("loaded", db_schema_filter="public").names)
    print(connection.adbc_get_table_types())
    info = connection.adbc_get_info()
    print(info["vendor_name"])


def options_of(connection):
    print(connection.adbc_current_catalog, connection.adbc_current_db_schema)


if __name__ == "__main__":
    main(*sys.argv[1:])
