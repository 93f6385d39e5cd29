import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Properties;

/** What PostgreSQL's JDBC driver reads of each type: prints form, SQL, name of the type and value, one a line. */
public class Types {
    /** Each column as SQL and the class that it is read as. */
    static final Object[][] CASES = {
        {"CAST(-128 AS TINYINT)", Short.class},
        {"CAST(-32768 AS SMALLINT)", Short.class},
        {"-2147483648", Integer.class},
        {"CAST(9223372036854775807 AS BIGINT)", Long.class},
        {"CAST(-1.5 AS FLOAT)", Float.class},
        {"CAST(0.1 AS DOUBLE)", Double.class},
        {"CAST('-12345678901234567890.123456789012345678' AS DECIMAL(38, 18))", java.math.BigDecimal.class},
        {"TRUE", Boolean.class},
        {"CAST('søt' AS CHAR(3))", String.class},
        {"CAST('a,b' AS VARCHAR(10))", String.class},
        {"CAST('NULL' AS STRING)", String.class},
        {"CAST(X'00ff' AS BINARY(2))", byte[].class},
        {"CAST(X'00ff5c' AS VARBINARY(3))", byte[].class},
        {"X'5c00'", byte[].class},
        {"DATE '0001-01-01'", LocalDate.class},
        {"TIME '23:59:59'", LocalTime.class},
        {"TIMESTAMP '1969-12-31 23:59:59.999'", LocalDateTime.class},
        {"CAST('1969-12-31 23:59:59.123456789' AS TIMESTAMP(9))", LocalDateTime.class},
        {"CAST('2020-10-10 08:15:00.999999999' AS TIMESTAMP_LTZ(9))", OffsetDateTime.class},
        {"INTERVAL '1 02:03:04.5' DAY TO SECOND", String.class},
        {"INTERVAL '1-2' YEAR TO MONTH", String.class},
        {"ARRAY[CAST(1 AS SMALLINT), NULL]", Array.class},
        {"ARRAY[1, NULL]", Array.class},
        {"ARRAY[CAST(1 AS BIGINT), NULL]", Array.class},
        {"ARRAY[CAST(1.5 AS FLOAT), NULL]", Array.class},
        {"ARRAY[CAST(0.1 AS DOUBLE), NULL]", Array.class},
        {"ARRAY[CAST('1.50' AS DECIMAL(10, 2)), NULL]", Array.class},
        {"ARRAY[TRUE, FALSE, CAST(NULL AS BOOLEAN)]", Array.class},
        {"ARRAY['a b', 'c\"d', 'NULL', CAST(NULL AS STRING)]", Array.class},
        {"ARRAY[CAST('a' AS VARCHAR(3)), CAST(NULL AS VARCHAR(3))]", Array.class},
        {"ARRAY[X'00ff', X'']", Array.class},
        {"ARRAY[DATE '2020-10-10', CAST(NULL AS DATE)]", Array.class},
        {"ARRAY[CAST('2020-10-10 08:15:00.123456789' AS TIMESTAMP(9))]", Array.class},
        {"ARRAY[ARRAY[1, 2], ARRAY[3]]", String.class},
        {"MAP['k', 1]", String.class},
        {"CAST(ROW(1, 'x') AS ROW<n INT, s STRING>)", String.class},
        {"CAST(NULL AS TIMESTAMP(3))", LocalDateTime.class},
    };

    public static void main(String[] arguments) throws Exception {
        for (boolean binary : new boolean[] {false, true}) {
            Properties properties = new Properties();
            properties.setProperty("user", "ada");
            properties.setProperty("binaryTransfer", Boolean.toString(binary));
            // Binary from the first execution on, whose types are asked for before.
            properties.setProperty("prepareThreshold", binary ? "-1" : "0");
            String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("PORT") + "/default_catalog";
            try (Connection connection = DriverManager.getConnection(url, properties)) {
                for (Object[] one : CASES) {
                    try (PreparedStatement statement = connection.prepareStatement("SELECT " + one[0]);
                        ResultSet row = statement.executeQuery()) {
                        row.next();
                        String name = row.getMetaData().getColumnTypeName(1);
                        System.out.println(
                            (binary ? "binary" : "text") + "|" + one[0] + "|" + name + "|" + read(row, (Class<?>) one[1]));
                    }
                }
            }
        }
    }

    static String read(ResultSet row, Class<?> as) throws SQLException {
        if (as == Array.class) {
            Object[] items = (Object[]) row.getArray(1).getArray();
            return Arrays.stream(items).map(Types::written).toList().toString();
        }
        if (as == byte[].class) {
            return written(row.getBytes(1));
        }
        return written(as == String.class ? row.getString(1) : row.getObject(1, as));
    }

    static String written(Object value) {
        return value instanceof byte[] bytes ? HexFormat.of().formatHex(bytes) : String.valueOf(value);
    }
}
