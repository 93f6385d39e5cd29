//! How often changes are sent, and by how many writers.

use std::fs;

use eddyline_tests::program::run_sql;

const NUMBERS: &str = "CREATE TABLE numbers (k BIGINT, n BIGINT) WITH ('connector' = 'datagen', \
    'rows-per-second' = '200000', 'number-of-rows' = '20000', 'fields.k.min' = '1', 'fields.k.max' = '3', \
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '20000');\n";

#[test]
fn a_mini_batch_sends_one_change_per_group() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sql = format!(
        "SET 'table.exec.mini-batch.enabled' = 'true';\nSET 'table.exec.mini-batch.size' = '100000';\n\
         SET 'table.exec.mini-batch.allow-latency' = '5 min';\n{NUMBERS}\
         SELECT k, COUNT(*) FROM numbers GROUP BY k;"
    );
    let finished = run_sql(folder.path(), &sql, &[]);
    assert!(finished.success, "{finished:?}");
    let counts = finished.stdout.lines().map(|line| {
        let change: serde_json::Value = serde_json::from_str(line).expect("a change");
        assert_eq!(change["op"], "+I", "{}", finished.stdout);
        change["row"][1].as_i64().expect("a count")
    });
    let counts: Vec<i64> = counts.collect();
    assert_eq!((counts.len(), counts.iter().sum()), (3, 20_000));
}

#[test]
fn a_sink_has_as_many_writers_as_its_table_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sql = format!(
        "{NUMBERS}CREATE TABLE files (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv', \
         'sink.parallelism' = '3');\nINSERT INTO files SELECT n FROM numbers;"
    );
    let finished = run_sql(folder.path(), &sql, &[]);
    assert!(finished.success, "{finished:?}");
    let files: Vec<String> = fs::read_dir(folder.path().join("out"))
        .expect("the sink's folder")
        .map(|entry| fs::read_to_string(entry.expect("readable").path()).expect("a text file"))
        .collect();
    assert_eq!(files.len(), 3);
    let mut numbers: Vec<u32> = files.iter().flat_map(|f| f.lines()).map(|l| l.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=20_000), "every row once");
}

#[test]
fn a_state_backend_on_disk_gets_a_note_and_an_unknown_one_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let noted = run_sql(folder.path(), "SET 'state.backend.type' = 'rocksdb'; SELECT 1;", &[]);
    assert!(noted.success && noted.stderr.contains("state is kept in memory"), "{noted:?}");
    let refused = run_sql(folder.path(), "SET 'state.backend.type' = 'redis'; SELECT 1;", &[]);
    assert!(!refused.success && refused.stderr.contains("expected one of hashmap"), "{refused:?}");
}
