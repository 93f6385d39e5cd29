//! A subscription's rows as the changes that they tell of: their first two columns, `op` and `epoch`, say what each does and
//! with which version of the view.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use eddyline_engine::{ChangelogBatch, RowKind};

use super::{Ending, ResultWriter};

/// Hands a subscription's changes on to the writer of a changelog.
pub struct SubscriptionWriter {
    inner: Box<dyn ResultWriter>,
    /// The first column that is handed on.
    from: usize,
    epoch: Option<i64>,
}

impl SubscriptionWriter {
    /// Makes `inner` for the columns that it is given: the view's, and before them the `epoch` where changes are shown
    /// rather than the rows that they add up to.
    pub fn new(schema: &SchemaRef, with_epoch: bool, inner: impl FnOnce(SchemaRef) -> Box<dyn ResultWriter>) -> Self {
        let from = if with_epoch { 1 } else { 2 };
        let fields: Vec<_> = schema.fields().iter().skip(from).cloned().collect();
        SubscriptionWriter { inner: inner(Arc::new(Schema::new(fields))), from, epoch: None }
    }

    fn changes(&self, batch: &ChangelogBatch) -> io::Result<ChangelogBatch> {
        let kinds = batch.column(0).as_string_opt::<i32>().map(|ops| ops.iter().map(|op| RowKind::from_symbol(op?)));
        let kinds = kinds.and_then(Iterator::collect::<Option<Vec<RowKind>>>);
        let kinds = kinds.ok_or_else(|| io::Error::other("the rows of a subscription do not say what they do"))?;
        let columns: Vec<usize> = (self.from..batch.rows().num_columns()).collect();
        let rows = batch.rows().project(&columns).map_err(io::Error::other)?;
        Ok(ChangelogBatch::new(rows, kinds.into_iter().collect()))
    }
}

impl ResultWriter for SubscriptionWriter {
    fn write(&mut self, batch: &ChangelogBatch, out: &mut dyn Write) -> io::Result<()> {
        if let Some(epochs) = batch.column(1).as_primitive_opt::<Int64Type>().filter(|epochs| !epochs.is_empty()) {
            self.epoch = Some(epochs.value(epochs.len() - 1));
        }
        self.inner.write(&self.changes(batch)?, out)
    }

    fn flush(&mut self, out: &mut dyn Write, ending: Ending) -> io::Result<()> {
        self.inner.flush(out, ending)
    }

    fn shows_status(&self) -> bool {
        self.inner.shows_status()
    }

    fn status(&mut self, line: &str) {
        match self.epoch {
            Some(epoch) => self.inner.status(&format!("epoch {epoch}, {line}")),
            None => self.inner.status(line),
        }
    }

    fn step_aside(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.inner.step_aside(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::render::{ChangelogWriter, TableStyle, TableWriter};

    fn batch(rows: &[(&str, i64, i64)]) -> ChangelogBatch {
        let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
        let schema = Schema::new(vec![
            field("op", DataType::Utf8),
            field("epoch", DataType::Int64),
            field("n", DataType::Int64),
        ]);
        let ops: StringArray = rows.iter().map(|row| Some(row.0)).collect();
        let numbers =
            |pick: fn(&(&str, i64, i64)) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(pick)));
        let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(ops), numbers(|row| row.1), numbers(|row| row.2)];
        ChangelogBatch::inserts(RecordBatch::try_new(Arc::new(schema), columns).unwrap())
    }

    fn shown(with_epoch: bool, inner: impl FnOnce(SchemaRef) -> Box<dyn ResultWriter>) -> String {
        let batches = [batch(&[("+I", 1, 10), ("+I", 1, 20)]), batch(&[("-U", 3, 10), ("+U", 3, 11), ("-D", 3, 20)])];
        let mut writer = SubscriptionWriter::new(&batches[0].rows().schema(), with_epoch, inner);
        let mut out = Vec::new();
        batches.iter().for_each(|batch| writer.write(batch, &mut out).unwrap());
        writer.flush(&mut out, Ending::Complete).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_is_what_the_changes_add_up_to_and_a_changelog_has_their_epochs() {
        let table = shown(false, |schema| Box::new(TableWriter::new(schema, TableStyle::default(), None)));
        assert!(table.contains("| 11 |") && table.contains("1 row in set") && !table.contains("epoch"), "{table}");
        let log = shown(true, |schema| Box::new(ChangelogWriter::new(schema, false)));
        let words: Vec<Vec<&str>> = log.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["op", "epoch", "n"], "{log}");
        assert!(words.contains(&vec!["-U", "3", "10"]) && words.contains(&vec!["-D", "3", "20"]), "{log}");
    }

    #[test]
    fn rows_that_say_nothing_are_refused() {
        let rows = batch(&[("more", 1, 1)]);
        let mut writer = SubscriptionWriter::new(&rows.rows().schema(), true, |schema| {
            Box::new(ChangelogWriter::new(schema, false))
        });
        assert!(writer.write(&rows, &mut Vec::new()).is_err());
    }
}
