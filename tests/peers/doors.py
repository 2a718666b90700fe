"""Statements through ADBC Flight SQL and values through psycopg, as programs send them.

usage: doors.py adbc URL USER PASSWORD CA
       doors.py psycopg URL PASSWORD
"""

import sys
from decimal import Decimal


def adbc(url, user, password, ca):
    import adbc_driver_flightsql.dbapi as flight
    import adbc_driver_manager
    from adbc_driver_flightsql import DatabaseOptions

    with open(ca) as file:
        options = {"username": user, "password": password, DatabaseOptions.TLS_ROOT_CERTS.value: file.read()}
    with flight.connect(url, db_kwargs=options, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE adbc (a int, b text)")
            cursor.execute("INSERT INTO adbc VALUES (1, 'x'), (2, 'y')")
            print("rowcount", cursor.rowcount)
            cursor.execute("SET TimeZone = 'Europe/Zurich'")
            print("rows of SET", cursor.fetchall())
            cursor.execute("SHOW TimeZone")
            print(cursor.fetchall())
            cursor.executemany("INSERT INTO adbc VALUES ($1, $2)", [(3, "z"), (4, None)])
            print("many", cursor.rowcount)
            cursor.execute("INSERT INTO adbc VALUES ($1, $2)", (5, "v"))
            cursor.execute("SELECT a, b FROM adbc WHERE a > $1 ORDER BY a", (1,))
            print(cursor.fetchall())
            print("update", updated(cursor))
            cursor.execute("SELECT now()")
            print(cursor.fetch_arrow_table().schema.field(0).type)
            try:
                cursor.execute("CREATE TABLE adbc (a int)")
                print("no error")
            except adbc_driver_manager.Error as error:
                print(error.sqlstate or error.status_code.name, "already exists" in str(error))
        objects = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
        schemas = {schema["db_schema_name"]: schema["db_schema_tables"] for schema in objects[0]["catalog_db_schemas"]}
        print(objects[0]["catalog_name"], [table["table_name"] for table in schemas["public"]])
        print(connection.adbc_get_table_types())


def updated(cursor):
    statement = cursor.adbc_statement
    statement.set_sql_query("INSERT INTO adbc VALUES (6, 'w')")
    return statement.execute_update()


def psycopg_values(url, password):
    import psycopg
    from psycopg.types import TypeInfo

    numbers = "0 -0 0.00 1 -1 1.50 100 10000 99999999.0001 -0.0001 1E+3 1E-20 123456789012345678901234567890 NaN Infinity"
    with psycopg.connect(url, password=password, autocommit=True) as connection:
        for number in map(Decimal, numbers.split()):
            text, binary = (
                connection.execute(f"SELECT %{form}", (number,)).fetchone()[0] for form in ("t", "b")
            )
            expected = number if number else abs(number)
            if text != binary or text != (format(expected, "f") if expected.is_finite() else str(expected)):
                print("differs:", number, text, binary)
        print("decimals compared")
        cursor = connection.execute("SELECT oid, relnamespace FROM pg_class WHERE relname = 'pg_class'")
        print([column.type_code for column in cursor.description], cursor.fetchone())
        with connection.cursor(binary=True) as cursor:
            print(cursor.execute("SELECT oid, relname FROM pg_class WHERE oid = 1259").fetchone())
        print([column.type_code for column in connection.execute("SELECT now()").description])
        print(TypeInfo.fetch(connection, "int4").oid)


if __name__ == "__main__":
    {"adbc": adbc, "psycopg": psycopg_values}[sys.argv[1]](*sys.argv[2:])
