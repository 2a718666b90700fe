"""asyncpg: everything binary, every statement prepared, types looked up in pg_catalog."""

import asyncio
import datetime
import ssl

import asyncpg

from deeds import COLUMNS, ENDLESS, ROWS, TABLES, TYPES, VITALS, Patience, equal, run, wait_until_running

loop = asyncio.new_event_loop()
connection = None


def on_the_loop(deed):
    """A deed that runs on the one loop, which holds the connection."""

    def called():
        loop.run_until_complete(deed())

    called.__name__, called.__doc__ = deed.__name__, deed.__doc__
    return called


async def connect():
    """TLS, verified against the server's own authority, as libpq's variables say."""
    global connection
    connection = await asyncpg.connect()
    transport = connection._transport
    assert transport.get_extra_info("ssl_object") is not None
    equal(connection.get_server_version().major, 15)


async def another_authority_is_refused():
    try:
        other = await asyncpg.connect(ssl=ssl.create_default_context())
        await other.close()
    except ssl.SSLCertVerificationError:
        return
    raise AssertionError("connected")


async def tables():
    rows = await connection.fetch("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = $1", "public")
    equal(TABLES - {row["tablename"] for row in rows}, set())


async def describe():
    statement = await connection.prepare("SELECT * FROM vitals WHERE patient_id = $1")
    equal([attribute.name for attribute in statement.get_attributes()], VITALS)
    names = [attribute.type.name for attribute in statement.get_attributes()]
    equal(names, ["int8", "int4", "int4", "int4", "int4", "timestamp"])
    equal([parameter.name for parameter in statement.get_parameters()], ["int8"])


async def types():
    rows = await connection.fetch(f"SELECT {', '.join(COLUMNS)} FROM peer_types ORDER BY id")
    equal([tuple(row) for row in rows], TYPES)
    row = await connection.fetchrow(
        "SELECT interval '1 day 02:03:04.5', time '01:02:03', 5::oid, 'x'::name, NULL, ARRAY[1, NULL, 3]::int[], ARRAY['a', NULL, '']"
    )
    interval = datetime.timedelta(days=1, hours=2, minutes=3, seconds=4.5)
    equal(tuple(row), (interval, datetime.time(1, 2, 3), 5, "x", None, [1, None, 3], ["a", None, ""]))


async def parameters():
    """The server tells each parameter's type from the column beside it."""
    for column, values in zip(COLUMNS, zip(*TYPES)):
        for identity, value in zip((1, 2), values):
            sql = f"SELECT id FROM peer_types WHERE {column} = $1 AND id = $2"
            equal(await connection.fetchval(sql, value, identity), identity)
    equal(tuple(await connection.fetchrow("SELECT $1::int + 1, $2::text IS NULL", 41, None)), (42, True))
    await connection.executemany("SELECT $1::int", [(1,), (2,)])


async def introspection():
    """What asyncpg asks of pg_catalog for a type that it does not know."""
    equal(await connection.fetchval("SELECT 'vitals'::regclass::text"), "vitals")
    row = await connection.fetchrow("SELECT relname, relkind, relacl FROM pg_class WHERE relname = 'vitals'")
    equal((row["relname"], row["relkind"]), ("vitals", b"r"))
    equal(await connection.fetchval("SELECT oid FROM pg_type WHERE typname = 'int4'"), 23)
    await connection.reset()


async def cursor_of_a_million():
    total = await connection.fetchval("SELECT sum(heart_rate) FROM vitals")
    seen, rates = 0, 0
    async with connection.transaction():
        async for row in connection.cursor("SELECT heart_rate, ts FROM vitals", prefetch=20_000):
            seen, rates = seen + 1, rates + row[0]
    equal((seen, rates), (ROWS, total))


async def cursor_left_early():
    """A portal that is closed half-way leaves the connection in order."""
    async with connection.transaction():
        cursor = await connection.cursor("SELECT heart_rate FROM vitals")
        equal(len(await cursor.fetch(10)), 10)
        equal(len(await cursor.fetch(10)), 10)
    equal(await connection.fetchval("SELECT 1"), 1)


async def cancel():
    """asyncpg cancels when its caller gives up waiting."""
    with Patience(60):
        asked = asyncio.ensure_future(connection.execute(ENDLESS))
        await asyncio.to_thread(wait_until_running)
        asked.cancel()
        try:
            await asked
            raise AssertionError("not cancelled")
        except asyncio.CancelledError:
            pass
    equal(await connection.fetchval("SELECT 1"), 1)


async def error_and_go_on():
    try:
        await connection.fetch("SELECT nothing FROM vitals")
        raise AssertionError("no error")
    except asyncpg.UndefinedColumnError as error:
        equal((str(error), error.position), ('column "nothing" does not exist', "8"))
    try:
        async with connection.transaction():
            await connection.fetch("SELECT 1 / (id - 1) FROM peer_types")
    except asyncpg.DivisionByZeroError:
        pass
    equal(await connection.fetchval("SELECT 2"), 2)


async def notice():
    heard = []
    connection.add_log_listener(lambda _, message: heard.append(message))
    await connection.execute("DROP TABLE IF EXISTS nothing_here")
    await asyncio.sleep(0)
    equal([message.severity for message in heard], ["NOTICE"])
    await connection.close()


async def pool():
    """Connections of a pool are reset and used again."""
    async with asyncpg.create_pool(min_size=2, max_size=4) as connections:
        answers = await asyncio.gather(*(connections.fetchval("SELECT $1::int", place) for place in range(40)))
    equal(answers, list(range(40)))


run(map(on_the_loop, [
    connect, another_authority_is_refused, tables, describe, types, parameters, introspection, cursor_of_a_million,
    cursor_left_early, cancel, error_and_go_on, notice, pool,
]))  # fmt: skip
