"""Bulk loads of rows that do not fit, and of one that does: their SQLSTATEs, then the rows that were loaded.

usage: ingest_types.py PASSWORD FLIGHT_URL CA
"""

import sys

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions


def load(flight, texts, table="l", mode="append"):
    batch = pa.table({"s": pa.array(texts, pa.string()), "n": pa.array([[1, None]] * len(texts), pa.list_(pa.int64()))})
    with flight.cursor() as cursor:
        try:
            return str(cursor.adbc_ingest(table, batch, mode=mode))
        except Exception as error:
            return error.sqlstate or dict(error.details)["sqlstate"].decode()


def main(password, url, ca):
    with open(ca) as file:
        options = {"username": "admin", "password": password, DatabaseOptions.TLS_ROOT_CERTS.value: file.read()}
    with flight_sql.connect(url, db_kwargs=options, autocommit=True) as flight:
        told = [load(flight, ["ab", "abcd"]), load(flight, ["a\0b"]), load(flight, ["a\0b"], "made", "create"), load(flight, ["x", "a\0"], "made", "create")]
        told.append(load(flight, ["ab"]))
    print(" ".join(told))


main(*sys.argv[1:])
