"""psycopg 3, in the text and in the binary format."""

import datetime
import tempfile
from decimal import Decimal

import psycopg
from psycopg import errors

from deeds import COLUMNS, ENDLESS, ROWS, TABLES, TYPES, VITALS, Patience, equal, run, strange_authority, when_running

connection = None


def connect():
    """TLS, verified against the server's own authority."""
    global connection
    connection = psycopg.connect(autocommit=True)
    assert connection.pgconn.ssl_in_use
    equal(connection.info.server_version // 10000, 15)


def another_authority_is_refused():
    """The client turns away a certificate that its authorities have not signed."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            psycopg.connect(sslrootcert=strange_authority(directory)).close()
        except psycopg.OperationalError as error:
            assert "certificate verify failed" in str(error), error
            return
    raise AssertionError("connected")


def tables():
    rows = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").fetchall()
    equal(TABLES - {name for name, in rows}, set())


def describe():
    cursor = connection.execute("SELECT * FROM vitals LIMIT 0")
    equal([column.name for column in cursor.description], VITALS)
    equal([column.type_code for column in cursor.description], [20, 23, 23, 23, 23, 1114])
    cursor = connection.execute("SELECT n FROM peer_types LIMIT 0")
    equal((cursor.description[0].precision, cursor.description[0].scale), (12, 3))


def types_as_text():
    types(binary=False)


def types_as_binary():
    types(binary=True)


def types(binary):
    with connection.cursor(binary=binary) as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM peer_types ORDER BY id")
        equal(cursor.fetchall(), TYPES)
        cursor.execute("SELECT ARRAY[1, NULL, 3]::int[], ARRAY['a,b', '\"q\"', NULL, '']")
        equal(cursor.fetchone(), ([1, None, 3], ["a,b", '"q"', None, ""]))
        cursor.execute("SELECT interval '1 day 02:03:04.5', time '01:02:03', 5::oid, 'x'::name, NULL")
        interval = datetime.timedelta(days=1, hours=2, minutes=3, seconds=4.5)
        equal(cursor.fetchone(), (interval, datetime.time(1, 2, 3), 5, "x", None))


def parameters():
    """Each value of the table finds its row again, sent in either format."""
    for form in "tb":
        for column, values in zip(COLUMNS, zip(*TYPES)):
            for identity, value in zip((1, 2), values):
                sql = f"SELECT id FROM peer_types WHERE {column} = %{form} AND id = %s"
                equal(connection.execute(sql, (value, identity)).fetchall(), [(identity,)])
        equal(connection.execute(f"SELECT %{form} + 1, %{form}::text IS NULL", (41, None)).fetchone(), (42, True))
        numbers = connection.execute(f"SELECT %{form}::numeric * 2", (Decimal("1.25"),)).fetchone()
        equal(numbers, (Decimal("2.50"),))


def prepared_many_times():
    """psycopg prepares a statement of its own accord at the fifth execution."""
    for place in range(12):
        equal(connection.execute("SELECT count(*) FROM peer_types WHERE id <= %s", (place,)).fetchone(), (min(place, 3),))


def pipeline():
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (place,)) for place in range(20)]
    equal([cursor.fetchone()[0] for cursor in cursors], list(range(20)))


def cursor_of_a_million():
    """Rows come one by one, and no row is lost."""
    (count, total), = connection.execute("SELECT count(*), sum(heart_rate) FROM vitals").fetchall()
    equal(count, ROWS)
    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            seen, rates = 0, 0
            for row in cursor.stream("SELECT heart_rate, ts FROM vitals", size=10_000):
                seen, rates = seen + 1, rates + row[0]
        equal((seen, rates), (ROWS, total))


def cancel():
    """The request goes over TLS too, and the client hears that it was taken."""
    refused = []

    def request():
        try:
            connection.cancel_safe()
        except psycopg.Error as error:
            refused.append(str(error))

    when_running(request)
    with Patience(60):
        try:
            connection.execute(ENDLESS)
            raise AssertionError("not cancelled")
        except errors.QueryCanceled as error:
            equal(error.sqlstate, "57014")
    equal(connection.execute("SELECT 1").fetchone(), (1,))
    equal(refused, [])


def error_and_go_on():
    try:
        connection.execute("SELECT nothing FROM vitals")
        raise AssertionError("no error")
    except errors.UndefinedColumn as error:
        equal((error.diag.message_primary, error.diag.statement_position), ('column "nothing" does not exist', "8"))
    with connection.transaction():
        equal(connection.execute("SELECT 1").fetchone(), (1,))
    try:
        with connection.transaction():
            connection.execute("SELECT 1 / (id - 1) FROM peer_types")
    except errors.DivisionByZero:
        pass
    equal(connection.info.transaction_status, psycopg.pq.TransactionStatus.IDLE)
    equal(connection.execute("SELECT 2").fetchone(), (2,))


def notice():
    heard = []
    connection.add_notice_handler(lambda said: heard.append((said.severity, said.sqlstate, said.message_primary)))
    connection.execute("DROP TABLE IF EXISTS nothing_here")
    equal(heard, [("NOTICE", "00000", 'table "nothing_here" does not exist, skipping')])


def close():
    connection.close()


run([
    connect, another_authority_is_refused, tables, describe, types_as_text, types_as_binary, parameters,
    prepared_many_times, pipeline, cursor_of_a_million, cancel, error_and_go_on, notice, close,
])  # fmt: skip
