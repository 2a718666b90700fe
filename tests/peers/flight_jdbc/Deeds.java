// What Java programs do through the Flight SQL JDBC driver; prints one line a deed, for a test to compare.
//
// usage: java --add-opens=java.base/java.nio=ALL-UNNAMED -cp DRIVER Deeds.java PORT USER PASSWORD CA

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

public final class Deeds {
    private static String url;
    private static Properties login;

    public static void main(String[] arguments) throws Exception {
        url = "jdbc:arrow-flight-sql://localhost:" + arguments[0];
        login = new Properties();
        login.put("user", arguments[1]);
        login.put("password", arguments[2]);
        login.put("useEncryption", "true");
        unverified();
        login.put("tlsRootCerts", arguments[3]);
        try (Connection connection = DriverManager.getConnection(url, login)) {
            changes(connection);
            metadata(connection.getMetaData());
            described(connection);
            types(connection);
            parameters(connection);
            errors(connection);
            many(connection);
            cancelled(connection);
        }
        wrongPassword();
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static void unverified() {
        try (Connection connection = DriverManager.getConnection(url, login)) {
            System.out.println("unverified: connected");
        } catch (SQLException error) {
            System.out.println("unverified: refused");
        }
    }

    private static void wrongPassword() {
        Properties wrong = (Properties) login.clone();
        wrong.put("password", "wrong");
        try (Connection connection = DriverManager.getConnection(url, wrong)) {
            System.out.println("wrong password: connected");
        } catch (SQLException error) {
            System.out.println("wrong password: refused");
        }
    }

    private static void changes(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("CREATE TABLE jdbc (id bigint NOT NULL, name text, price numeric(10,2), day date)");
            System.out.println("inserted " + statement.executeUpdate(
                "INSERT INTO jdbc VALUES (1, 'one', 1.50, '2026-01-01'), (2, NULL, NULL, NULL)"));
            System.out.println("updated " + statement.executeUpdate("UPDATE jdbc SET name = 'two' WHERE id = 2"));
        }
    }

    private static void metadata(DatabaseMetaData metadata) throws SQLException {
        System.out.println(metadata.getDatabaseProductName() + " " + metadata.getIdentifierQuoteString()
            + " " + metadata.supportsTransactions() + " " + metadata.supportsBatchUpdates());
        System.out.println("catalogs " + column(metadata.getCatalogs(), "TABLE_CAT"));
        System.out.println("schemas " + column(metadata.getSchemas(null, "pub%"), "TABLE_SCHEM"));
        System.out.println("types " + column(metadata.getTableTypes(), "TABLE_TYPE"));
        System.out.println("tables " + column(metadata.getTables(null, "public", "jd%", new String[] {"TABLE"}), "TABLE_NAME"));
        try (ResultSet columns = metadata.getColumns(null, "public", "jdbc", "%")) {
            while (columns.next()) {
                System.out.println("column " + columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME")
                    + " " + columns.getInt("DATA_TYPE") + " " + columns.getInt("COLUMN_SIZE")
                    + " " + columns.getInt("DECIMAL_DIGITS"));
            }
        }
        System.out.println("keys " + column(metadata.getPrimaryKeys(null, "public", "jdbc"), "COLUMN_NAME")
            + column(metadata.getImportedKeys(null, "public", "jdbc"), "FKCOLUMN_NAME")
            + column(metadata.getExportedKeys(null, "public", "jdbc"), "FKCOLUMN_NAME"));
    }

    private static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                values.add(rows.getString(name));
            }
        }
        return values;
    }

    private static void described(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT id, name, price FROM jdbc WHERE id = ?".replace("?", "$1"))) {
            ResultSetMetaData columns = statement.getMetaData();
            StringBuilder line = new StringBuilder("described");
            for (int index = 1; index <= columns.getColumnCount(); index++) {
                line.append(' ').append(columns.getColumnName(index)).append(' ').append(columns.getColumnType(index));
            }
            System.out.println(line + " parameters " + statement.getParameterMetaData().getParameterCount());
        }
    }

    private static void types(Connection connection) throws SQLException {
        String sql = "SELECT true AS a, 1::smallint AS b, 2 AS c, 3::bigint AS d, 1.5::real AS e, 2.5::float8 AS f, "
            + "12.30::numeric(10,2) AS g, 'text' AS h, DATE '2026-02-03' AS i, TIMESTAMP '2026-02-03 04:05:06.789' AS j, "
            + "TIMESTAMPTZ '2026-02-03 04:05:06+00' AS k, '\\x0102'::bytea AS l, ARRAY[1, 2] AS m, NULL::text AS n";
        try (Statement statement = connection.createStatement(); ResultSet row = statement.executeQuery(sql)) {
            row.next();
            StringBuilder line = new StringBuilder("types");
            line.append(' ').append(row.getBoolean("a")).append(' ').append(row.getShort("b"));
            line.append(' ').append(row.getInt("c")).append(' ').append(row.getLong("d"));
            line.append(' ').append(row.getFloat("e")).append(' ').append(row.getDouble("f"));
            line.append(' ').append(row.getBigDecimal("g")).append(' ').append(row.getString("h"));
            line.append(' ').append(row.getObject("i")).append(' ').append(row.getObject("j") != null);
            line.append(' ').append(row.getObject("k") != null).append(' ').append(row.getBytes("l").length);
            line.append(' ').append(row.getObject("m")).append(' ').append(row.getString("n")).append(' ').append(row.wasNull());
            System.out.println(line);
        }
    }

    private static void parameters(Connection connection) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO jdbc (id, name) VALUES ($1, $2)")) {
            for (int row = 10; row < 13; row++) {
                insert.setLong(1, row);
                insert.setString(2, "row " + row);
                insert.addBatch();
            }
            int[] counts = insert.executeBatch();
            System.out.println("batch of " + counts.length);
        }
        try (PreparedStatement query = connection.prepareStatement("SELECT name FROM jdbc WHERE id > $1 AND name <> $2 ORDER BY id")) {
            query.setLong(1, 1);
            query.setString(2, "row 11");
            System.out.println("found " + column(query.executeQuery(), "name"));
            query.setLong(1, 11);
            System.out.println("found " + column(query.executeQuery(), "name"));
        }
    }

    private static void errors(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            try {
                statement.executeQuery("SELECT nothing FROM nowhere");
                System.out.println("no error");
            } catch (SQLException error) {
                System.out.println("error " + error.getMessage().contains("relation \"nowhere\" does not exist"));
            }
            try (ResultSet row = statement.executeQuery("SELECT 41 + 1 AS answer")) {
                row.next();
                System.out.println("goes on " + row.getInt(1));
            }
        }
    }

    private static void many(Connection connection) throws SQLException {
        long count = 0;
        long sum = 0;
        String sql = "SELECT n, 'row ' || n::text AS name FROM generate_series(1, 1000000) t(n)";
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            while (rows.next()) {
                count++;
                sum += rows.getLong(1);
            }
        }
        System.out.println("many " + count + " " + sum);
    }

    /** Until the server runs a statement that holds a name; the one that asks holds both. */
    private static void awaitRunning(String name) throws InterruptedException, SQLException {
        String sql = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND strpos(query, '" + name + "') > 0"
            + " AND strpos(query, 'pg_stat_activity') = 0";
        try (Connection watching = DriverManager.getConnection(url, login); Statement statement = watching.createStatement()) {
            while (true) {
                try (ResultSet rows = statement.executeQuery(sql)) {
                    if (rows.next()) {
                        return;
                    }
                }
                Thread.sleep(50);
            }
        }
    }

    private static void cancelled(Connection connection) throws Exception {
        String sql = "SELECT count(*) AS named_to_be_cancelled FROM generate_series(1, 100000000) a, generate_series(1, 1000) b"
            + " WHERE a + b < 0";
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    awaitRunning("named_to_be_cancelled");
                    // The driver may still be opening what it would cancel.
                    while (!Thread.interrupted()) {
                        statement.cancel();
                        Thread.sleep(200);
                    }
                } catch (InterruptedException error) {
                    // It is done.
                } catch (SQLException error) {
                    System.out.println("cancel failed");
                }
            });
            canceller.start();
            long begun = System.nanoTime();
            try (ResultSet rows = statement.executeQuery(sql)) {
                System.out.println("cancelled " + !rows.next());
            } catch (SQLException error) {
                System.out.println("cancelled true");
            }
            canceller.interrupt();
            canceller.join();
            System.out.println("within 20 s " + (System.nanoTime() - begun < 20_000_000_000L));
        }
        try (Statement statement = connection.createStatement(); ResultSet row = statement.executeQuery("SELECT 1")) {
            row.next();
            System.out.println("and goes on " + row.getInt(1));
        }
    }
}
