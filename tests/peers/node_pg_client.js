// node-postgres (pg) with pg-cursor. The server is told in libpq's variables; NODE_PATH names the packages.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');

const ROWS = 1000000;
const TABLES = ['care_team', 'encounters', 'hospitals', 'patients', 'peer_types', 'vitals'];
// Far more work than anybody waits for.
const ENDLESS = 'SELECT count(*) FROM vitals a, vitals b, vitals c WHERE a.heart_rate + b.heart_rate + c.heart_rate < 0';
const ssl = { ca: fs.readFileSync(process.env.PGSSLROOTCERT, 'utf8'), rejectUnauthorized: true };
// pg reads the other variables itself. PGSSLMODE would be read as a different setting.
delete process.env.PGSSLMODE;

let client;

const deeds = {
  // TLS, verified against the server's own authority, and against no other.
  async connect() {
    client = new Client({ ssl });
    await client.connect();
    assert.ok(client.connection.stream.authorized);
    const other = new Client({ ssl: { rejectUnauthorized: true } });
    await assert.rejects(other.connect(), /certificate/);
  },

  async tables() {
    const { rows } = await client.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'");
    const seen = new Set(rows.map((row) => row.table_name));
    assert.deepStrictEqual(TABLES.filter((name) => !seen.has(name)), []);
  },

  async describe() {
    const { fields } = await client.query('SELECT * FROM vitals LIMIT 0');
    assert.deepStrictEqual(fields.map((field) => field.name),
      ['patient_id', 'hospital_id', 'heart_rate', 'blood_pressure', 'oxygen_saturation', 'ts']);
    assert.deepStrictEqual(fields.map((field) => field.dataTypeID), [20, 23, 23, 23, 23, 1114]);
  },

  // pg reads everything as text, and leaves bigint and numeric as text.
  async types() {
    const text = 'SELECT id, b, i2, i4, i8, f4, f8, n, t, y, d::text, ts::text, tz FROM peer_types ORDER BY id';
    const { rows } = await client.query(text);
    assert.deepStrictEqual(rows.map((row) => Object.values(row)), [
      [1, true, 2, 4, '8', 1.5, 0.1, '12345.678', 'Zürich \'"\\', Buffer.from([0, 255, 16]), '2024-02-29',
        '2024-02-29 12:34:56.789012', new Date('2024-02-29T10:34:56.789Z')],
      [2, false, -32768, -2147483648, '-9223372036854775808', -0.25, 1e300, '-999999999.999', '', Buffer.from([]),
        '1900-01-01', '1969-12-31 23:59:59.999999', new Date('1969-12-31T23:59:59.999Z')],
      [3, null, null, null, null, null, null, null, null, null, null, null, null],
    ]);
    const other = await client.query(
      "SELECT interval '1 day 02:03:04.5' AS i, time '01:02:03' AS t, ARRAY[1, NULL, 3]::int[] AS a, ARRAY['a', NULL, ''] AS s, NULL AS n");
    assert.deepStrictEqual({ ...other.rows[0].i }, { days: 1, hours: 2, minutes: 3, seconds: 4, milliseconds: 500 });
    assert.strictEqual(other.rows[0].t, '01:02:03');
    assert.deepStrictEqual([other.rows[0].a, other.rows[0].s, other.rows[0].n], [[1, null, 3], ['a', null, ''], null]);
  },

  async parameters() {
    const values = { id: 1, b: true, i2: 2, i4: 4, i8: '8', f4: 1.5, f8: 0.1, n: '12345.678', t: 'Zürich \'"\\',
      y: Buffer.from([0, 255, 16]), d: '2024-02-29', ts: '2024-02-29 12:34:56.789012', tz: '2024-02-29 12:34:56.789012+02' };
    for (const [column, value] of Object.entries(values)) {
      const { rows } = await client.query(`SELECT id FROM peer_types WHERE ${column} = $1`, [value]);
      assert.deepStrictEqual(rows, [{ id: 1 }], column);
    }
    const { rows } = await client.query('SELECT $1::int + 1 AS a, $2::text IS NULL AS b', [41, null]);
    assert.deepStrictEqual(rows, [{ a: 42, b: true }]);
  },

  async prepared() {
    for (let place = 0; place < 5; place += 1) {
      const query = { name: 'by-id', text: 'SELECT t FROM peer_types WHERE id = $1', values: [place] };
      const { rowCount } = await client.query(query);
      assert.strictEqual(rowCount, place >= 1 && place <= 3 ? 1 : 0);
    }
  },

  async cursorOfAMillion() {
    const total = Number((await client.query('SELECT sum(heart_rate) AS s FROM vitals')).rows[0].s);
    const cursor = client.query(new Cursor('SELECT heart_rate, ts FROM vitals', [], { rowMode: 'array' }));
    let seen = 0;
    let rates = 0;
    for (let rows = await cursor.read(20000); rows.length > 0; rows = await cursor.read(20000)) {
      seen += rows.length;
      for (const row of rows) rates += row[0];
    }
    assert.deepStrictEqual([seen, rates], [ROWS, total]);
    const left = client.query(new Cursor('SELECT heart_rate FROM vitals WHERE heart_rate > $1', [0]));
    assert.strictEqual((await left.read(10)).length, 10);
    await left.close();
    assert.strictEqual((await client.query('SELECT 1 AS one')).rows[0].one * 1, 1);
  },

  async cancel() {
    const { processID } = client;
    const other = new Client({ ssl });
    await other.connect();
    const running = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
    const asking = async () => {
      // A request that comes before the query has begun would change nothing.
      while ((await other.query(running, [processID])).rows.length === 0) await sleep(50);
      return other.query('SELECT pg_cancel_backend($1) AS done', [processID]);
    };
    const begun = Date.now();
    const rejected = assert.rejects(client.query(ENDLESS), { code: '57014' });
    assert.strictEqual((await asking()).rows[0].done, true);
    await rejected;
    assert.ok(Date.now() - begun < 60000);
    await other.end();
    assert.strictEqual((await client.query('SELECT 1::int AS one')).rows[0].one, 1);
  },

  async errorAndGoOn() {
    await assert.rejects(client.query('SELECT nothing FROM vitals'), { code: '42703', position: '8', severity: 'ERROR' });
    await client.query('BEGIN');
    await assert.rejects(client.query('SELECT 1 / (id - 1) FROM peer_types'), { code: '22012' });
    await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
    await client.query('ROLLBACK');
    assert.strictEqual((await client.query('SELECT 2::int AS two')).rows[0].two, 2);
  },

  async notice() {
    const heard = [];
    client.on('notice', (notice) => heard.push([notice.severity, notice.message]));
    await client.query('DROP TABLE IF EXISTS nothing_here');
    assert.deepStrictEqual(heard, [['NOTICE', 'table "nothing_here" does not exist, skipping']]);
    await client.end();
  },

  async pool() {
    const pool = new Pool({ ssl, max: 4 });
    const answers = await Promise.all([...Array(40).keys()].map((n) => pool.query('SELECT $1::int AS n', [n])));
    assert.deepStrictEqual(answers.map((answer) => answer.rows[0].n), [...Array(40).keys()]);
    await pool.end();
  },
};

async function run() {
  const failed = [];
  for (const [name, deed] of Object.entries(deeds)) {
    const begun = Date.now();
    try {
      await deed();
      console.log(`ok ${name} ${Date.now() - begun} ms`);
    } catch (error) {
      failed.push(name);
      console.error(`FAILED ${name}:`, error);
    }
  }
  if (failed.length > 0) console.error(`failed deeds: ${failed.join(', ')}`);
  process.exit(failed.length > 0 ? 1 : 0);
}

run();
