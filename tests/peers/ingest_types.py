"""Bulk loads of rows that do not fit, and of one that does: their SQLSTATEs by what is said, then the rows that were loaded.

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
            # The driver keeps the message alone.
            return "22001" if "value too long for type character varying(3)" in str(error) else "22021" if "0x00" in str(error) else str(error)


def main(password, url, ca):
    with open(ca) as file:
        options = {"username": "admin", "password": password, DatabaseOptions.TLS_ROOT_CERTS.value: file.read()}
    with flight_sql.connect(url, db_kwargs=options, autocommit=True) as flight:
        told = [load(flight, ["ab", "abcd"]), load(flight, ["a\0b"]), load(flight, ["a\0b"], "made", "create"), load(flight, ["x", "a\0"], "made", "create")]
        told.append(load(flight, ["ab"]))
    print(" ".join(told))


main(*sys.argv[1:])
