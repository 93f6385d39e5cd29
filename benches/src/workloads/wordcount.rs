//! Word count: lines from Kafka, split, counted per word, into nothing or into a MariaDB table.

use eddyline_tests::services::mariadb;
use sqlx::Row;

use super::{bounded, round_folder, settings};
use crate::Setup;
use crate::child::Measured;
use crate::report::{DRAIN_COLUMNS, Table, drain_figures};
use crate::topics::{self, WORDS_PER_LINE};

const COUNT: &str = "INSERT INTO wc
SELECT word, COUNT(*) AS cnt FROM text_lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS w (word) WHERE word <> ''
GROUP BY word;
";

/// Measures one sink after the other over the same topic.
pub fn run(setup: &Setup, into_blackhole: bool, into_mysql: bool) {
    if !into_blackhole && !into_mysql {
        return;
    }
    let topic = topics::lines(setup.rows);
    if into_blackhole {
        measure(setup, &topic, "word count, raw lines → blackhole", || "'connector' = 'blackhole'".into(), || ());
    }
    if into_mysql {
        mariadb::shared().execute(
            "CREATE TABLE wc (word VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, cnt BIGINT)",
        );
        measure(setup, &topic, "word count, raw lines → MariaDB", empty_table, || check_table(setup.rows));
    }
}

fn measure(setup: &Setup, topic: &str, title: &str, sink: impl Fn() -> String, check: impl Fn()) {
    let title = format!("{title}: {} rows of {WORDS_PER_LINE} words, parallelism {}", setup.rows, setup.parallelism);
    let mut table = Table::new(&title, DRAIN_COLUMNS);
    for _ in 0..setup.rounds {
        let folder = round_folder();
        let sql = format!(
            "{}CREATE TABLE text_lines (line STRING) WITH ({});
CREATE TABLE wc (word STRING, cnt BIGINT, PRIMARY KEY (word) NOT ENFORCED) WITH ({}{});
{COUNT}",
            settings(setup, folder.path(), "wordcount", "5s"),
            bounded(topic, "raw"),
            sink(),
            setup.sink_options
        );
        let usage = Measured::start(&setup.binary, folder.path(), &sql).finish();
        check();
        table.round(drain_figures(setup.rows, &usage));
    }
    table.finish();
}

/// Options of the sink over a table that is empty again.
fn empty_table() -> String {
    let database = mariadb::shared();
    database.execute("TRUNCATE TABLE wc");
    format!(
        "'connector' = 'jdbc', 'url' = '{}', 'username' = '{}', 'password' = '{}', 'table-name' = 'wc'",
        database.jdbc_url(),
        mariadb::USER,
        mariadb::PASSWORD.replace('\'', "''")
    )
}

fn check_table(rows: usize) {
    let result = mariadb::shared().query("SELECT CAST(SUM(cnt) AS SIGNED) FROM wc");
    let counted: i64 = result[0].get(0);
    assert_eq!(counted, (rows * WORDS_PER_LINE) as i64, "words counted in the table");
}
