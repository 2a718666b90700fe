"""What the two ADBC drivers do alike; each of their scripts connects, and knows its errors."""

import adbc_driver_manager

from deeds import ENDLESS, TABLES, VITALS, Patience, equal, when_running


def public_tables(connection, depth, **filters):
    """The tables of `public`, as the driver describes them."""
    objects = connection.adbc_get_objects(depth=depth, db_schema_filter="public", **filters).read_all().to_pylist()
    schemas = {schema["db_schema_name"]: schema for found in objects for schema in found["catalog_db_schemas"] or []}
    return schemas["public"]["db_schema_tables"]


def tables(connection):
    equal(TABLES - {table["table_name"] for table in public_tables(connection, "tables")}, set())


def describe(connection):
    schema = connection.adbc_get_table_schema("vitals", db_schema_filter="public")
    equal(schema.names, VITALS)
    equal([str(kind) for kind in schema.types], ["int64", "int32", "int32", "int32", "int32", "timestamp[us]"])


def cancel(cursor):
    """`cursor` opens one. Answers the error."""
    with cursor() as opened:
        when_running(opened.adbc_cancel)
        with Patience(60):
            try:
                opened.execute(ENDLESS)
                opened.fetchall()
                raise AssertionError("not cancelled")
            except adbc_driver_manager.Error as error:
                seen = error
    with cursor() as opened:
        opened.execute("SELECT 1")
        equal(opened.fetchall(), [(1,)])
    return seen


def error_and_go_on(cursor):
    """Answers the error."""
    with cursor() as opened:
        try:
            opened.execute("SELECT nothing FROM vitals")
            raise AssertionError("no error")
        except adbc_driver_manager.Error as error:
            seen = error
        assert 'column "nothing" does not exist' in str(seen), seen
        opened.execute("SELECT 2")
        equal(opened.fetchall(), [(2,)])
    return seen
