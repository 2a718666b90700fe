"""Structs and maps of a table that another writer made, and what else tables do not have, as both protocols give them.

usage: nested.py write PATH | nested.py read URL PASSWORD FLIGHT_URL CA
"""

import json
import sys
import uuid

import pyarrow as pa

NAMES = [{"given": "Ann", "age": 3}, {"given": 'B"ob', "age": None}, None]
TAGS = [[("a", 1), ("b", None)], [], None]
VISITS = [[{"ward": 1, "days": [1, 2]}], [], None]
QUERY = "SELECT name, tags, visits FROM nested ORDER BY id"


def write(path):
    from deltalake import write_deltalake

    name = pa.struct([("given", pa.string()), ("age", pa.int32())])
    visit = pa.struct([("ward", pa.int32()), ("days", pa.list_(pa.int64()))])
    table = pa.table(
        {
            "id": pa.array([1, 2, 3], pa.int64()),
            "name": pa.array(NAMES, name),
            "tags": pa.array(TAGS, pa.map_(pa.string(), pa.int64())),
            "visits": pa.array(VISITS, pa.list_(visit)),
        }
    )
    write_deltalake(path, table)


def read(url, password, flight_url, ca):
    import adbc_driver_flightsql.dbapi as flight_sql
    import psycopg
    from adbc_driver_flightsql import DatabaseOptions

    wanted = [(name, None if tags is None else dict(tags), visits) for name, tags, visits in zip(NAMES, TAGS, VISITS)]
    with psycopg.connect(url, password=password, autocommit=True) as connection:
        for binary in [False, True]:
            got = connection.execute(QUERY, binary=binary).fetchall()
            if got != wanted:
                print(f"psycopg, binary {binary}: {got}")
            row = connection.execute(
                "SELECT '{\"b\": [1]}'::jsonb, name -> 'age', event_id, objects FROM nested, system.audit WHERE id = 1 AND objects IS NOT NULL LIMIT 1", binary=binary
            ).fetchone()
            if row[:2] != ({"b": [1]}, 3) or not isinstance(row[2], uuid.UUID) or not isinstance(row[3], list):
                print(f"psycopg, binary {binary}: {row}")
    with open(ca) as file:
        options = {"username": "admin", "password": password, DatabaseOptions.TLS_ROOT_CERTS.value: file.read()}
    with flight_sql.connect(flight_url, db_kwargs=options, autocommit=True) as flight, flight.cursor() as cursor:
        cursor.execute(QUERY)
        table = cursor.fetch_arrow_table()
        rows = list(zip(*(column.to_pylist() for column in table.columns)))
        loaded = lambda value: value if value is None else json.loads(value)
        visits = lambda value: value if value is None else [loaded(visit) for visit in value]
        got = [(loaded(name), loaded(tags), visits(found)) for name, tags, found in rows]
        if got != wanted:
            print(f"Flight: {got}")
        names = [extension(field) for field in table.schema][:2]
        if names != ["arrow.json"] * 2:
            print(f"Flight: {table.schema}")
        cursor.execute("SELECT event_id, objects FROM system.audit LIMIT 1")
        table = cursor.fetch_arrow_table()
        if [extension(field) for field in table.schema] != ["arrow.uuid", "arrow.json"]:
            print(f"Flight: {table.schema}")
    print("done")


def extension(field):
    """The name of a field's extension type, whether pyarrow knows it or not."""
    if isinstance(field.type, pa.BaseExtensionType):
        return field.type.extension_name
    return (field.metadata or {}).get(b"ARROW:extension:name", b"").decode()


if sys.argv[1] == "write":
    write(sys.argv[2])
else:
    read(*sys.argv[2:])
