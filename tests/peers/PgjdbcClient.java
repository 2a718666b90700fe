// pgjdbc, as BI tools use it: metadata, both formats, portals with a fetch size. Run from source: java -cp pgjdbc.jar PgjdbcClient.java

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import org.postgresql.PGConnection;

class PgjdbcClient {
    static final int ROWS = 1_000_000;
    static final Set<String> TABLES =
        new TreeSet<>(List.of("care_team", "encounters", "hospitals", "patients", "peer_types", "vitals"));
    static final List<String> VITALS =
        List.of("patient_id", "hospital_id", "heart_rate", "blood_pressure", "oxygen_saturation", "ts");
    /** Far more work than anybody waits for. */
    static final String ENDLESS =
        "SELECT count(*) FROM vitals a, vitals b, vitals c WHERE a.heart_rate + b.heart_rate + c.heart_rate < 0";

    interface Deed {
        void run() throws Exception;
    }

    static Connection connection;

    public static void main(String[] arguments) {
        Map<String, Deed> deeds = new LinkedHashMap<>();
        deeds.put("connect", PgjdbcClient::connect);
        deeds.put("another authority is refused", PgjdbcClient::anotherAuthority);
        deeds.put("tables", PgjdbcClient::tables);
        deeds.put("describe", PgjdbcClient::describe);
        deeds.put("metadata", PgjdbcClient::metadata);
        deeds.put("types", PgjdbcClient::types);
        deeds.put("types in the binary format", PgjdbcClient::typesInBinary);
        deeds.put("parameters", PgjdbcClient::parameters);
        deeds.put("cursor of a million", PgjdbcClient::cursorOfAMillion);
        deeds.put("cancel", PgjdbcClient::cancel);
        deeds.put("timeout", PgjdbcClient::timeout);
        deeds.put("error and go on", PgjdbcClient::errorAndGoOn);
        deeds.put("notice", PgjdbcClient::notice);
        List<String> failed = new ArrayList<>();
        for (Map.Entry<String, Deed> deed : deeds.entrySet()) {
            long begun = System.nanoTime();
            try {
                deed.getValue().run();
                System.out.printf("ok %s %d ms%n", deed.getKey(), (System.nanoTime() - begun) / 1_000_000);
            } catch (Throwable error) {
                failed.add(deed.getKey());
                System.err.println("FAILED " + deed.getKey());
                error.printStackTrace();
            }
        }
        if (!failed.isEmpty()) {
            System.err.println("failed deeds: " + String.join(", ", failed));
        }
        System.exit(failed.isEmpty() ? 0 : 1);
    }

    static void equal(Object seen, Object expected) {
        if (!Objects.deepEquals(seen, expected)) {
            throw new AssertionError("expected " + shown(expected) + ", seen " + shown(seen));
        }
    }

    static String shown(Object value) {
        return value instanceof Object[] many ? Arrays.deepToString(many) : String.valueOf(value);
    }

    static Connection open(String... settings) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("sslmode", "verify-full");
        properties.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        for (int place = 0; place + 1 < settings.length; place += 2) {
            properties.setProperty(settings[place], settings[place + 1]);
        }
        String url = String.format("jdbc:postgresql://%s:%s/%s", System.getenv("PGHOST"), System.getenv("PGPORT"),
            System.getenv("PGDATABASE"));
        return DriverManager.getConnection(url, properties);
    }

    /** TLS, verified against the server's own authority. */
    static void connect() throws SQLException {
        connection = open();
        equal(connection.getMetaData().getDatabaseProductName(), "PostgreSQL");
        equal(connection.getMetaData().getDatabaseMajorVersion(), 15);
        equal(connection.isValid(5), true);
        equal(connection.getCatalog(), System.getenv("PGDATABASE"));
        equal(connection.getSchema(), "public");
    }

    static void anotherAuthority() {
        try {
            open("sslfactory", "org.postgresql.ssl.DefaultJavaSSLFactory").close();
        } catch (SQLException error) {
            return;
        }
        throw new AssertionError("connected");
    }

    static List<List<String>> strings(ResultSet rows, String... columns) throws SQLException {
        List<List<String>> found = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                List<String> row = new ArrayList<>();
                for (String column : columns) {
                    row.add(rows.getString(column));
                }
                found.add(row);
            }
        }
        return found;
    }

    static void tables() throws SQLException {
        ResultSet rows = connection.getMetaData().getTables(null, "public", "%", new String[] {"TABLE"});
        Set<String> seen = new TreeSet<>();
        for (List<String> row : strings(rows, "TABLE_NAME", "TABLE_TYPE")) {
            equal(row.get(1), "TABLE");
            seen.add(row.get(0));
        }
        Set<String> missing = new TreeSet<>(TABLES);
        missing.removeAll(seen);
        equal(missing, Set.of());
    }

    static void describe() throws SQLException {
        ResultSet rows = connection.getMetaData().getColumns(null, "public", "peer\\_types", "%");
        List<List<String>> columns = strings(rows, "COLUMN_NAME", "TYPE_NAME", "DATA_TYPE", "COLUMN_SIZE", "DECIMAL_DIGITS");
        equal(columns.subList(0, 13).stream().map(column -> column.get(0) + " " + column.get(1)).toList(),
            List.of("id int4", "b bool", "i2 int2", "i4 int4", "i8 int8", "f4 float4", "f8 float8", "n numeric", "t text",
                "y bytea", "d date", "ts timestamp", "tz timestamptz"));
        equal(columns.get(7), List.of("n", "numeric", String.valueOf(Types.NUMERIC), "12", "3"));
        try (Statement statement = connection.createStatement();
            ResultSet none = statement.executeQuery("SELECT * FROM vitals LIMIT 0")) {
            ResultSetMetaData shape = none.getMetaData();
            List<String> names = new ArrayList<>();
            for (int place = 1; place <= shape.getColumnCount(); place++) {
                names.add(shape.getColumnName(place));
            }
            equal(names, VITALS);
            equal(shape.getColumnType(1), Types.BIGINT);
            equal(shape.getColumnType(6), Types.TIMESTAMP);
            // Asks pg_catalog about the columns' origin.
            equal(shape.isAutoIncrement(1), false);
            equal(shape.isNullable(1) == ResultSetMetaData.columnNoNulls, false);
        }
    }

    /** What tools ask before they show a tree of tables: each must answer, most have nothing to say. */
    static void metadata() throws SQLException {
        DatabaseMetaData about = connection.getMetaData();
        Set<String> schemas = new TreeSet<>();
        strings(about.getSchemas(), "TABLE_SCHEM").forEach(row -> schemas.add(row.get(0)));
        equal(schemas.containsAll(Set.of("public", "pg_catalog", "information_schema")), true);
        equal(strings(about.getCatalogs(), "TABLE_CAT").contains(List.of(System.getenv("PGDATABASE"))), true);
        equal(strings(about.getTableTypes(), "TABLE_TYPE").contains(List.of("TABLE")), true);
        equal(strings(about.getPrimaryKeys(null, "public", "vitals"), "COLUMN_NAME"), List.of());
        equal(strings(about.getImportedKeys(null, "public", "vitals"), "FK_NAME"), List.of());
        equal(strings(about.getExportedKeys(null, "public", "vitals"), "FK_NAME"), List.of());
        equal(strings(about.getIndexInfo(null, "public", "vitals", false, true), "INDEX_NAME"), List.of());
        equal(strings(about.getBestRowIdentifier(null, "public", "vitals", 0, true), "COLUMN_NAME"), List.of());
        equal(strings(about.getTypeInfo(), "TYPE_NAME").contains(List.of("int4")), true);
        equal(strings(about.getTablePrivileges(null, "public", "vitals"), "PRIVILEGE").contains(List.of("SELECT")), true);
        strings(about.getColumnPrivileges(null, "public", "vitals", "%"), "PRIVILEGE");
        strings(about.getProcedures(null, "public", "%"), "PROCEDURE_NAME");
        strings(about.getFunctions(null, "pg_catalog", "%"), "FUNCTION_NAME");
        strings(about.getFunctionColumns(null, "public", "%", "%"), "COLUMN_NAME");
        strings(about.getUDTs(null, "public", "%", null), "TYPE_NAME");
        strings(about.getClientInfoProperties(), "NAME");
        equal(about.getMaxColumnNameLength() > 0, true);
        equal(about.getSQLKeywords().isEmpty(), false);
    }

    static final Object[][] VALUES = {
        {1, true, 2, 4, 8L, 1.5f, 0.1, new BigDecimal("12345.678"), "Zürich '\"\\", new byte[] {0, (byte) 255, 16},
            LocalDate.of(2024, 2, 29), LocalDateTime.of(2024, 2, 29, 12, 34, 56, 789_012_000),
            OffsetDateTime.parse("2024-02-29T10:34:56.789012Z")},
        {2, false, -32768, Integer.MIN_VALUE, Long.MIN_VALUE, -0.25f, 1e300, new BigDecimal("-999999999.999"), "",
            new byte[0], LocalDate.of(1900, 1, 1), LocalDateTime.of(1969, 12, 31, 23, 59, 59, 999_999_000),
            OffsetDateTime.parse("1969-12-31T23:59:59.999999Z")},
        {3, null, null, null, null, null, null, null, null, null, null, null, null},
    };
    static final String[] COLUMNS = {"id", "b", "i2", "i4", "i8", "f4", "f8", "n", "t", "y", "d", "ts", "tz"};

    static void types() throws SQLException {
        types(connection);
    }

    /** pgjdbc asks for the binary format from the first execution on. */
    static void typesInBinary() throws SQLException {
        try (Connection binary = open("prepareThreshold", "-1")) {
            types(binary);
            types(binary);
        }
    }

    static void types(Connection on) throws SQLException {
        String columns = String.join(", ", COLUMNS);
        try (PreparedStatement statement = on.prepareStatement("SELECT " + columns + " FROM peer_types ORDER BY id");
            ResultSet rows = statement.executeQuery()) {
            for (Object[] expected : VALUES) {
                equal(rows.next(), true);
                Object[] seen = new Object[expected.length];
                for (int place = 0; place < seen.length; place++) {
                    seen[place] = value(rows, place + 1, COLUMNS[place]);
                }
                equal(seen, expected);
            }
            equal(rows.next(), false);
        }
        try (Statement statement = on.createStatement();
            ResultSet rows = statement.executeQuery("SELECT ARRAY[1, NULL, 3]::int[], ARRAY['a,b', NULL, ''], interval '1 day 02:03:04.5'")) {
            rows.next();
            equal(rows.getArray(1).getArray(), new Integer[] {1, null, 3});
            equal(rows.getArray(2).getArray(), new String[] {"a,b", null, ""});
            equal(rows.getObject(3), new org.postgresql.util.PGInterval(0, 0, 1, 2, 3, 4.5));
        }
    }

    static Object value(ResultSet rows, int place, String column) throws SQLException {
        return switch (column) {
            case "d" -> rows.getObject(place, LocalDate.class);
            case "ts" -> rows.getObject(place, LocalDateTime.class);
            case "tz" -> rows.getObject(place, OffsetDateTime.class);
            default -> rows.getObject(place);
        };
    }

    /** Each value of the table finds its row again; at the fifth time the server has the statement by name. */
    static void parameters() throws SQLException {
        for (int place = 0; place < COLUMNS.length; place++) {
            String sql = "SELECT id FROM peer_types WHERE " + COLUMNS[place] + " = ? AND id = ?";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                for (int times = 0; times < 6; times++) {
                    for (int row = 0; row < 2; row++) {
                        statement.setObject(1, VALUES[row][place]);
                        statement.setInt(2, row + 1);
                        try (ResultSet rows = statement.executeQuery()) {
                            equal(COLUMNS[place] + " " + rows.next(), COLUMNS[place] + " true");
                        }
                    }
                }
                equal(statement.getParameterMetaData().getParameterCount(), 2);
            }
        }
        try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int + 1, ?::text IS NULL, ?")) {
            statement.setInt(1, 41);
            statement.setNull(2, Types.VARCHAR);
            statement.setTimestamp(3, Timestamp.valueOf("2024-02-29 12:34:56"));
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                equal(rows.getInt(1), 42);
                equal(rows.getBoolean(2), true);
            }
        }
        try (PreparedStatement statement = connection.prepareStatement("SELECT id FROM peer_types WHERE d = ?")) {
            statement.setDate(1, Date.valueOf("2024-02-29"));
            try (ResultSet rows = statement.executeQuery()) {
                equal(rows.next(), true);
            }
        }
    }

    static void cursorOfAMillion() throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            long total;
            try (ResultSet rows = statement.executeQuery("SELECT sum(heart_rate) FROM vitals")) {
                rows.next();
                total = rows.getLong(1);
            }
            statement.setFetchSize(20_000);
            try (ResultSet rows = statement.executeQuery("SELECT heart_rate, ts FROM vitals")) {
                long seen = 0;
                long rates = 0;
                while (rows.next()) {
                    seen++;
                    rates += rows.getInt(1);
                }
                equal(List.of(seen, rates), List.of((long) ROWS, total));
            }
            // Left half-way.
            try (ResultSet rows = statement.executeQuery("SELECT heart_rate FROM vitals")) {
                rows.next();
            }
            connection.commit();
        } finally {
            connection.setAutoCommit(true);
        }
    }

    /** Until a session runs something: a request to cancel that comes before changes nothing. */
    static void awaitRunning(int id) throws InterruptedException, SQLException {
        String sql = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND pid = " + id;
        try (Connection watching = open(); Statement statement = watching.createStatement()) {
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

    static void cancel() throws Exception {
        try (Statement statement = connection.createStatement()) {
            int id = connection.unwrap(PGConnection.class).getBackendPID();
            Thread other = new Thread(() -> {
                try {
                    awaitRunning(id);
                    statement.cancel();
                } catch (InterruptedException | SQLException error) {
                    error.printStackTrace();
                }
            });
            other.start();
            fails(statement, ENDLESS, "57014");
            other.join();
            statement.executeQuery("SELECT 1").close();
        }
    }

    /** The driver cancels when the statement's time is over. */
    static void timeout() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            fails(statement, ENDLESS, "57014");
        }
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT 1").close();
        }
    }

    static SQLException fails(Statement statement, String sql, String state) throws SQLException {
        long begun = System.nanoTime();
        try {
            statement.executeQuery(sql).close();
        } catch (SQLException error) {
            equal(error.getSQLState(), state);
            equal((System.nanoTime() - begun) / 1_000_000_000 < 15, true);
            return error;
        }
        throw new AssertionError("no error: " + sql);
    }

    static void errorAndGoOn() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            SQLException error = fails(statement, "SELECT nothing FROM vitals", "42703");
            equal(error.getMessage().startsWith("ERROR: column \"nothing\" does not exist"), true);
            connection.setAutoCommit(false);
            fails(statement, "SELECT 1 / (id - 1) FROM peer_types", "22012");
            fails(statement, "SELECT 1", "25P02");
            connection.rollback();
            connection.setAutoCommit(true);
            try (ResultSet rows = statement.executeQuery("SELECT 2::int")) {
                rows.next();
                equal(rows.getInt(1), 2);
            }
        }
    }

    static void notice() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS nothing_here");
            equal(statement.getWarnings().getMessage(), "table \"nothing_here\" does not exist, skipping");
        }
        connection.close();
    }
}
