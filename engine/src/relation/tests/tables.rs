//! Tables of our own: what statements change, and what is left of it in the log after every kind of end.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::error::{Error, Result};

fn open(path: &Path) -> Result<Table> {
    Table::open("t", schema(), Some(vec![1]), path)
}

fn add(table: &Table, rows: &[Row], on_duplicate: OnDuplicate) -> Result<Edited> {
    table.edit(|_| Ok(Edit { removed: Vec::new(), added: vec![batch(rows)], on_duplicate }))
}

fn all(table: &Table) -> Vec<(Option<String>, i64, i64)> {
    let mut rows = read(table.relation().snapshot(NOW).unwrap().batches(None, 3).map(Result::unwrap));
    rows.sort_by_key(|row| row.1);
    rows
}

fn owned(rows: &[Row]) -> Vec<(Option<String>, i64, i64)> {
    rows.iter().map(|(text, id, n)| (text.map(str::to_string), *id, *n)).collect()
}

fn log(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("t.log")
}

#[test]
fn a_key_that_is_there_is_refused_kept_or_replaced() {
    let table = Table::in_memory("t", schema(), Some(vec![1])).unwrap();
    add(&table, &[(Some("a"), 1, 1), (None, 2, 2)], OnDuplicate::Refuse).unwrap();
    let error = add(&table, &[(None, 3, 3), (None, 2, 9)], OnDuplicate::Refuse).unwrap_err();
    assert!(
        matches!(&error, Error::DuplicateKey { columns, values, .. } if columns == "id" && values == "2"),
        "{error}"
    );
    assert_eq!(all(&table), owned(&[(Some("a"), 1, 1), (None, 2, 2)]), "a statement that fails changes nothing");
    let edited = add(&table, &[(None, 3, 3), (None, 2, 9)], OnDuplicate::Keep).unwrap();
    assert_eq!(edited, Edited { removed: 0, added: 1 });
    let edited = add(&table, &[(None, 1, 5), (None, 4, 4), (None, 4, 5)], OnDuplicate::Replace).unwrap();
    assert_eq!(edited.added, 3);
    assert_eq!(all(&table), owned(&[(None, 1, 5), (None, 2, 2), (None, 3, 3), (None, 4, 5)]));
}

#[test]
fn keys_may_change_places_in_one_statement() {
    let table = Table::in_memory("t", schema(), Some(vec![1])).unwrap();
    add(&table, &[(Some("a"), 1, 1), (Some("b"), 2, 2)], OnDuplicate::Refuse).unwrap();
    let swap = |to: &[Row]| {
        let (removed, added) = (vec![batch(&[(Some("a"), 1, 1), (Some("b"), 2, 2)])], vec![batch(to)]);
        table.edit(|_| Ok::<_, Error>(Edit { removed, added, on_duplicate: OnDuplicate::Refuse }))
    };
    assert!(swap(&[(Some("a"), 2, 1), (Some("b"), 2, 2)]).is_err(), "both with one key");
    swap(&[(Some("a"), 2, 1), (Some("b"), 1, 2)]).unwrap();
    assert_eq!(all(&table), owned(&[(Some("b"), 1, 2), (Some("a"), 2, 1)]));
}

#[test]
fn what_was_answered_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(&log(&dir)).unwrap();
    add(&table, &[(Some("a"), 1, 1), (None, 2, 2), (None, 3, 3)], OnDuplicate::Refuse).unwrap();
    table.edit(|_| Ok::<_, Error>(Edit { removed: vec![batch(&[(None, 2, 2)])], ..Edit::default() })).unwrap();
    add(&table, &[(Some("c"), 3, 30)], OnDuplicate::Replace).unwrap();
    let (before, number) = (all(&table), table.relation().snapshot(NOW).unwrap().number());
    drop(table);
    let again = open(&log(&dir)).unwrap();
    assert_eq!(all(&again), before);
    assert_eq!(before, owned(&[(Some("a"), 1, 1), (Some("c"), 3, 30)]));
    assert_eq!(again.relation().snapshot(NOW).unwrap().number(), number, "numbers of versions go on");
    add(&again, &[(None, 9, 9)], OnDuplicate::Refuse).unwrap();
    assert_eq!(again.relation().snapshot(NOW).unwrap().number(), number + 1);
    assert!(!again.remove_empty().unwrap() && log(&dir).exists(), "it has rows");
    again.remove().unwrap();
    assert!(!log(&dir).exists());
    assert!(add(&again, &[(None, 8, 8)], OnDuplicate::Refuse).is_err(), "it was dropped");
}

#[test]
fn an_unfinished_statement_is_cut_off_wherever_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(&log(&dir)).unwrap();
    add(&table, &[(Some("a"), 1, 1)], OnDuplicate::Refuse).unwrap();
    let whole = fs::metadata(log(&dir)).unwrap().len() as usize;
    // More rows than a frame holds, so that the statement is several.
    let rows: Vec<Row> = (0..70_000).map(|id| (None, id + 10, id)).collect();
    add(&table, &rows, OnDuplicate::Refuse).unwrap();
    drop(table);
    let bytes = fs::read(log(&dir)).unwrap();
    let step = (bytes.len() - whole) / 40;
    let ends = (whole..whole + 40).chain((whole..bytes.len()).step_by(step)).chain([bytes.len() - 1]);
    for end in ends {
        for blanks in [0, 4096] {
            // As a file system may leave it that had made room before the data came.
            let blanks = if end == whole { blanks } else { 0 };
            fs::write(log(&dir), [&bytes[..end], &vec![0; blanks]].concat()).unwrap();
            let again = open(&log(&dir)).unwrap();
            assert_eq!(all(&again), owned(&[(Some("a"), 1, 1)]), "cut at {end} of {}", bytes.len());
            add(&again, &[(None, 5, 5)], OnDuplicate::Refuse).unwrap();
            drop(again);
            assert_eq!(all(&open(&log(&dir)).unwrap()).len(), 2, "what is written behind the cut is read");
        }
    }
}

#[test]
fn damage_is_an_error_that_names_the_file_and_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(&log(&dir)).unwrap();
    for id in 1..4 {
        add(&table, &[(Some("some text"), id, id)], OnDuplicate::Refuse).unwrap();
    }
    drop(table);
    let bytes = fs::read(log(&dir)).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(log(&dir), damaged).unwrap();
        let error = open(&log(&dir)).map(|table| all(&table)).unwrap_err().to_string();
        assert!(error.contains("t.log is damaged at byte"), "byte {at}: {error}");
    }
    fs::write(log(&dir), &bytes).unwrap();
    let other = Table::open("t", Arc::new(schema().project(&[0, 1]).unwrap()), None, &log(&dir));
    assert!(other.unwrap_err().to_string().contains("other columns"));
}

#[test]
fn a_long_log_is_written_anew_and_holds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let table = open(&log(&dir)).unwrap();
    let text: &'static str = Box::leak("x".repeat(1 << 16).into_boxed_str());
    let mut longest = 0;
    for round in 0..600 {
        add(&table, &[(Some(text), round % 10, round)], OnDuplicate::Replace).unwrap();
        longest = longest.max(fs::metadata(log(&dir)).unwrap().len());
    }
    let end = fs::metadata(log(&dir)).unwrap().len();
    assert!(longest > 15 << 20 && longest < 18 << 20 && end < longest, "longest {longest}, at the end {end}");
    let before = all(&table);
    drop(table);
    assert_eq!(all(&open(&log(&dir)).unwrap()), before);
}

#[test]
fn without_a_key_equal_rows_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Table::open("t", schema(), None, &log(&dir)).unwrap();
    let table = open();
    let row: Row = (None, 1, 1);
    add(&table, &[row, row, row], OnDuplicate::Refuse).unwrap();
    table.edit(|_| Ok::<_, Error>(Edit { removed: vec![batch(&[row])], ..Edit::default() })).unwrap();
    drop(table);
    assert_eq!(all(&open()), owned(&[row, row]));
}
