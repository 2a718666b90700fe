"""psycopg with its defaults: every statement is in a transaction that commit() ends."""

import sys

import psycopg
from psycopg import errors

port, ca, user, password = sys.argv[1:]
conninfo = (
    f"host=localhost port={port} dbname=lakeward user={user} password={password} "
    f"sslmode=verify-full sslrootcert={ca}"
)


def count(connection, where="true"):
    return connection.execute(f"SELECT count(*) FROM p WHERE {where}").fetchone()[0]


with psycopg.connect(conninfo) as one, psycopg.connect(conninfo) as two:
    cursor = one.execute("INSERT INTO p VALUES (%s, %s, %s)", (4, 1, "dan"))
    assert cursor.rowcount == 1 and cursor.statusmessage == "INSERT 0 1"
    assert (count(one), count(two)) == (4, 3)
    two.rollback()
    one.commit()
    assert count(two) == 4
    two.rollback()

    assert one.execute("UPDATE p SET name = %s WHERE id = %s", ("Dan", 4)).rowcount == 1
    one.rollback()
    assert count(one, "name = 'Dan'") == 0
    one.rollback()

    # Nested transactions are savepoints.
    with one.transaction():
        one.execute("DELETE FROM p WHERE id = 4")
        try:
            with one.transaction():
                one.execute("SELECT 1/0")
        except errors.DivisionByZero:
            pass
        assert count(one) == 3
    assert count(two) == 3
    two.rollback()

    try:
        with one.transaction():
            one.execute("INSERT INTO p VALUES (5, 1, 'eve')")
            raise RuntimeError
    except RuntimeError:
        pass
    assert count(two) == 3
    two.rollback()

    one.rollback()
    one.read_only = True
    try:
        one.execute("INSERT INTO p VALUES (5, 1, 'eve')")
        raise AssertionError("a read-only transaction wrote")
    except errors.ReadOnlySqlTransaction:
        one.rollback()
    one.read_only = None
    one.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    assert one.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
    one.rollback()
print("ok")
