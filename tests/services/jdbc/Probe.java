import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Properties;

/** What PostgreSQL's JDBC driver does with a server: prints facts, one a line. */
public class Probe {
    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("PORT") + "/default_catalog";
        Properties properties = new Properties();
        properties.setProperty("user", "ada");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            metadata(connection);
            keys(connection);
            values(connection);
            pages(connection);
            cancel(connection);
            error(connection);
        }
    }

    static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        System.out.println("product " + metadata.getDatabaseProductName());
        String[] kinds = {"TABLE", "VIEW", "MATERIALIZED VIEW"};
        try (ResultSet tables = metadata.getTables(null, "public", "%", kinds)) {
            while (tables.next()) {
                System.out.println(tables.getString("TABLE_TYPE") + " " + tables.getString("TABLE_NAME"));
            }
        }
        try (ResultSet columns = metadata.getColumns(null, "public", "counts", "%")) {
            while (columns.next()) {
                System.out.println("column " + columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME")
                    + " " + columns.getString("IS_NULLABLE"));
            }
        }
    }

    static void keys(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        try (ResultSet keys = metadata.getPrimaryKeys(null, "public", "two")) {
            while (keys.next()) {
                System.out.println("key " + keys.getString("TABLE_NAME") + " " + keys.getString("COLUMN_NAME") + " "
                    + keys.getShort("KEY_SEQ") + " " + keys.getString("PK_NAME"));
            }
        }
        try (ResultSet parts = metadata.getIndexInfo(null, "public", "two", true, false)) {
            while (parts.next()) {
                System.out.println("index " + parts.getString("TABLE_NAME") + " " + parts.getString("INDEX_NAME") + " "
                    + parts.getString("COLUMN_NAME") + " " + parts.getShort("ORDINAL_POSITION")
                    + (parts.getBoolean("NON_UNIQUE") ? "" : " unique"));
            }
        }
        int others = 0;
        try (ResultSet keys = metadata.getPrimaryKeys(null, "public", "ticks")) {
            while (keys.next()) {
                others++;
            }
        }
        System.out.println("keys of ticks " + others);
    }

    static void values(Connection connection) throws SQLException {
        String query = "SELECT CAST(? AS BIGINT) + 1, ?, CAST(? AS DECIMAL(10, 2)), ARRAY[1, 2]";
        try (PreparedStatement statement = connection.prepareStatement(query)) {
            // From the sixth time on the driver reads binary.
            for (int i = 0; i < 7; i++) {
                statement.setLong(1, 41);
                statement.setString(2, "it's");
                statement.setBigDecimal(3, new BigDecimal("12.50"));
                try (ResultSet row = statement.executeQuery()) {
                    row.next();
                    Object[] items = (Object[]) row.getArray(4).getArray();
                    System.out.println("values " + row.getLong(1) + " " + row.getString(2) + " " + row.getBigDecimal(3)
                        + " " + Arrays.toString(items));
                }
            }
        }
    }

    /** A continuous query, read page by page. */
    static void pages(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(10);
            try (ResultSet rows = statement.executeQuery("SELECT k FROM ticks")) {
                int seen = 0;
                while (seen < 25 && rows.next()) {
                    seen++;
                }
                System.out.println("pages " + seen);
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    /** The driver sends one cancel request for a query, so it must not come before the query runs. */
    static void cancel(Connection connection) throws Exception {
        awaitQueries(0);
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    awaitQueries(1);
                    statement.cancel();
                } catch (SQLException e) {
                    System.out.println(e.getMessage());
                }
            });
            canceller.start();
            try {
                statement.executeQuery("SELECT COUNT(*) FROM ticks");
                System.out.println("not cancelled");
            } catch (SQLException e) {
                System.out.println("cancelled " + e.getSQLState());
            }
            canceller.join();
        }
    }

    /** Waits until as many queries run. */
    static void awaitQueries(int wanted) throws SQLException {
        String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("PORT") + "/default_catalog?user=ada";
        try (Connection watcher = DriverManager.getConnection(url); Statement statement = watcher.createStatement()) {
            int running;
            do {
                running = 0;
                try (ResultSet jobs = statement.executeQuery("SHOW JOBS")) {
                    while (jobs.next()) {
                        running += jobs.getString("job name").equals("select") ? 1 : 0;
                    }
                }
            } while (running != wanted);
        }
    }

    static void error(Connection connection) {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT nothing FROM counts");
        } catch (SQLException e) {
            org.postgresql.util.ServerErrorMessage message =
                ((org.postgresql.util.PSQLException) e).getServerErrorMessage();
            System.out.println("error " + e.getSQLState() + " " + message.getPosition());
        }
    }
}
