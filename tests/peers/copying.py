"""COPY through psycopg, as programs use it.

usage: copying.py URL PASSWORD
"""

import datetime
import sys
from decimal import Decimal

import psycopg

ROWS = [
    (1, "plain", Decimal("1.50"), datetime.date(2026, 1, 27), b"\x00\xff"),
    (2, 'tab\t, "quoted"\nline \\N', Decimal("-0.01"), None, b""),
    (3, None, None, datetime.date(1, 1, 1), None),
]
TYPES = ["int8", "text", "numeric", "date", "bytea"]


def main(url, password):
    with psycopg.connect(url, password=password, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE copied (a bigint, b text, c numeric(10,2), d date, e bytea)")
            for form in ["", "(FORMAT binary)"]:
                with cursor.copy(f"COPY copied FROM STDIN {form}") as copy:
                    if form:
                        copy.set_types(TYPES)
                    for row in ROWS:
                        copy.write_row(row)
                print("in", cursor.rowcount, cursor.statusmessage)
                with cursor.copy(f"COPY (SELECT * FROM copied ORDER BY a) TO STDOUT {form}") as copy:
                    copy.set_types(TYPES)
                    print("out", list(copy.rows()) == ROWS)
                cursor.execute("SELECT * FROM copied ORDER BY a", binary=bool(form))
                print("read", cursor.fetchall() == ROWS)
                cursor.execute("DELETE FROM copied")
            try:
                with cursor.copy("COPY copied (a) FROM STDIN") as copy:
                    copy.write_row((1,))
                    raise RuntimeError("the program fails")
            except RuntimeError:
                pass
            cursor.execute("SELECT count(*) FROM copied")
            print("after a failure", cursor.fetchone()[0], connection.info.transaction_status.name)
            try:
                with cursor.copy("COPY copied (a) FROM STDIN") as copy:
                    copy.write("1\nx\n")
            except psycopg.errors.InvalidTextRepresentation as error:
                print(error.diag.sqlstate, error.diag.context)


main(*sys.argv[1:])
