//! From the start of the program to the first row of a small query, and to its end.

use super::{bounded, round_folder};
use crate::Setup;
use crate::child::Measured;
use crate::report::Table;
use crate::topics;

/// A start is short and its figures scatter: more rounds than elsewhere.
const MORE_ROUNDS: usize = 7;
const KAFKA_ROWS: usize = 1000;

/// Measures a query over VALUES and one over a small Kafka topic.
pub fn run(setup: &Setup) {
    let values = "SELECT id, name FROM (VALUES (1, 'one'), (2, 'two'), (3, 'three')) AS t (id, name) WHERE id > 1;";
    measure(setup, "start to first row, SELECT over VALUES", values);
    let topic = topics::lines(KAFKA_ROWS);
    let kafka = format!(
        "CREATE TABLE text_lines (line STRING) WITH ({});
SELECT word, COUNT(*) AS cnt FROM text_lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS w (word) GROUP BY word;",
        bounded(&topic, "raw")
    );
    measure(setup, &format!("start to first row, word count over {KAFKA_ROWS} lines in Kafka"), &kafka);
}

fn measure(setup: &Setup, title: &str, sql: &str) {
    let mut table = Table::new(title, &["first row ms", "end ms", "peak RSS MB"]);
    for _ in 0..setup.rounds.max(MORE_ROUNDS) {
        let folder = round_folder();
        let mut program = Measured::start(&setup.binary, folder.path(), sql);
        let (first, _) = program.first_line();
        let usage = program.finish();
        let milliseconds = [first, usage.wall].map(|d| d.as_secs_f64() * 1e3);
        table.round([&milliseconds[..], &[usage.peak_rss_bytes as f64 / 1e6]].concat());
    }
    table.finish();
}
