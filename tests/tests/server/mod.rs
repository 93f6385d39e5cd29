//! The server, through the clients that people use.

mod abuse;
mod binary;
mod cancel;
mod catalog;
mod completion;
mod copy;
mod crowd;
mod drivers;
mod errands;
mod kills;
mod limits;
pub mod logins;
mod psql;
mod recovery;
mod settings;
mod slow;
mod streaming;
mod subscribe;
mod tables;
mod view_readers;
mod views;

/// An endless source, a sink that forgets, and a view.
const TABLES: &str = "
CREATE TABLE ticks (k BIGINT, name STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '500',
  'fields.k.min' = '1', 'fields.k.max' = '5');
CREATE TABLE counts (k BIGINT NOT NULL, n DECIMAL(20, 2), seen TIMESTAMP_LTZ(3), PRIMARY KEY (k) NOT ENFORCED)
  WITH ('connector' = 'blackhole');
CREATE VIEW odd AS SELECT k, name FROM ticks WHERE MOD(k, 2) = 1;
";

/// A query with a value of every type, its columns named `a`, `b`, ….
const VALUES: &str = "SELECT CAST(1 AS TINYINT) AS a, CAST(-2 AS SMALLINT) AS b, 3 AS c, CAST(-4000000000 AS BIGINT) AS d, \
CAST(1.5 AS FLOAT) AS e, CAST(-2.5 AS DOUBLE) AS f, CAST(-1234.50 AS DECIMAL(10, 2)) AS g, TRUE AS h, \
CAST('ab' AS CHAR(2)) AS i, CAST('abc' AS VARCHAR(5)) AS j, CAST('søt' AS STRING) AS k, X'00ff10' AS l, \
DATE '2020-10-10' AS m, TIME '08:15:01' AS n, TIMESTAMP '2020-10-10 08:15:00.123' AS o, \
CAST(TIMESTAMP '2020-10-10 08:15:00.123' AS TIMESTAMP_LTZ(3)) AS p, INTERVAL '1 02:03:04' DAY TO SECOND AS q, \
INTERVAL '1-2' YEAR TO MONTH AS r, ARRAY[1, 2, 3] AS s, ARRAY['a', 'b c', 'd\"e'] AS t, MAP['k', 1] AS u, \
CAST(ROW(1, 'x') AS ROW<n INT, s STRING>) AS v, CAST(NULL AS INT) AS w, CAST(0.00 AS DECIMAL(4, 2)) AS x";
