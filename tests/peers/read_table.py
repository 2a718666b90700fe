"""Reads one query through a real client and prints its rows as JSON, one row a line, values as text.

usage: read_table.py psycopg-text|psycopg-binary URL PASSWORD SQL
       read_table.py adbc URL USER PASSWORD CA SQL
"""

import datetime
import decimal
import json
import sys


def plain(value):
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise TypeError(type(value))


def through_psycopg(url, password, sql, binary):
    import psycopg

    with psycopg.connect(url, password=password) as connection:
        with connection.cursor(binary=binary) as cursor:
            return cursor.execute(sql).fetchall()


def through_adbc(url, user, password, ca, sql):
    import adbc_driver_flightsql.dbapi as flightsql
    from adbc_driver_flightsql import DatabaseOptions

    with open(ca) as certificate:
        options = {
            "username": user,
            "password": password,
            DatabaseOptions.TLS_ROOT_CERTS.value: certificate.read(),
        }
    with flightsql.connect(url, db_kwargs=options) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


def main():
    client, *rest = sys.argv[1:]
    if client == "adbc":
        rows = through_adbc(*rest)
    else:
        rows = through_psycopg(*rest, binary=client == "psycopg-binary")
    for row in rows:
        print(json.dumps([plain(value) for value in row]))


main()
