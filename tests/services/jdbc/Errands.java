import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/** The errands of errands.rs by PostgreSQL's JDBC driver, through SCRAM and TLS: prints facts, one a line. */
public class Errands {
    public static void main(String[] arguments) throws Exception {
        try (Connection connection = connect("guess")) {
            System.out.println("not refused");
        } catch (SQLException e) {
            System.out.println("refused " + e.getSQLState());
        }
        try (Connection connection = connect("enchantress"); Connection other = connect("enchantress")) {
            // The driver takes no answer for yes with sslmode=verify-ca.
            System.out.println("encrypted");
            ddl(connection);
            job(connection, other);
            error(connection);
            follow(connection, other);
            cancel(connection, other);
            try (Statement statement = connection.createStatement();
                 ResultSet rows = statement.executeQuery("SELECT n FROM notes")) {
                rows.next();
                System.out.println("left " + rows.getInt("n"));
            }
        }
    }

    static Connection connect(String password) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "ada");
        properties.setProperty("password", password);
        properties.setProperty("sslmode", "verify-ca");
        properties.setProperty("sslrootcert", System.getenv("FOLDER") + "/cert.pem");
        String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("PORT") + "/default_catalog";
        return DriverManager.getConnection(url, properties);
    }

    static void ddl(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate(
                "CREATE TABLE ticks (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50')");
            statement.executeUpdate("CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole')");
            statement.executeUpdate("CREATE VIEW odd AS SELECT k FROM ticks WHERE MOD(k, 2) = 1");
            statement.executeUpdate("CREATE TABLE notes (id INT PRIMARY KEY, n INT)");
            statement.executeUpdate("INSERT INTO notes VALUES (1, 10)");
        }
        StringBuilder names = new StringBuilder("relations");
        try (ResultSet tables = connection.getMetaData().getTables(null, "public", "%", null)) {
            java.util.TreeSet<String> sorted = new java.util.TreeSet<>();
            while (tables.next()) {
                if (tables.getString("TABLE_TYPE").matches("TABLE|VIEW")) {
                    sorted.add(tables.getString("TABLE_NAME"));
                }
            }
            sorted.forEach(name -> names.append(" ").append(name));
        }
        System.out.println(names);
    }

    static void job(Connection connection, Connection other) throws SQLException {
        String id;
        try (Statement statement = connection.createStatement();
             ResultSet job = statement.executeQuery("INSERT INTO sink SELECT k FROM odd")) {
            job.next();
            id = job.getString(1);
        }
        await(other, id, "RUNNING");
        try (Statement statement = connection.createStatement()) {
            statement.execute("STOP JOB '" + id + "'");
        }
        await(other, id, "FINISHED");
    }

    /** Waits until a job that has read something has this status. */
    static void await(Connection connection, String id, String status) throws SQLException {
        while (true) {
            try (Statement statement = connection.createStatement();
                 ResultSet jobs = statement.executeQuery("SHOW JOBS")) {
                while (jobs.next()) {
                    if (jobs.getString("job id").equals(id) && jobs.getString("status").equals(status)
                        && jobs.getLong("rows read") > 0) {
                        System.out.println("job " + status);
                        return;
                    }
                }
            }
        }
    }

    static void error(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("UPDATE notes SET n = ? WHERE id = ?")) {
            statement.setInt(1, 10);
            statement.setInt(2, 1);
            System.out.println("rows changed " + statement.executeUpdate());
        }
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT k, nothing FROM ticks");
        } catch (SQLException e) {
            org.postgresql.util.ServerErrorMessage message =
                ((org.postgresql.util.PSQLException) e).getServerErrorMessage();
            System.out.println("error " + e.getSQLState() + " " + message.getPosition());
        }
    }

    /** A subscription, read page by page; the change is made when its first row has been read. */
    static void follow(Connection connection, Connection other) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(10);
            try (ResultSet rows = statement.executeQuery("SUBSCRIBE TO notes")) {
                for (int seen = 0; seen < 3; seen++) {
                    rows.next();
                    System.out.println("followed " + rows.getString("op") + " " + rows.getInt("id") + " "
                        + rows.getInt("n"));
                    if (seen == 0) {
                        try (Statement change = other.createStatement()) {
                            change.executeUpdate("UPDATE notes SET n = 11");
                        }
                    }
                }
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    /** The driver sends one cancel request for a query, so it must not come before the query runs. */
    static void cancel(Connection connection, Connection other) throws Exception {
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    awaitQuery(other);
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

    static void awaitQuery(Connection watcher) throws SQLException {
        while (true) {
            try (Statement statement = watcher.createStatement();
                 ResultSet jobs = statement.executeQuery("SHOW JOBS")) {
                while (jobs.next()) {
                    if (jobs.getString("job name").equals("select")) {
                        return;
                    }
                }
            }
        }
    }
}
