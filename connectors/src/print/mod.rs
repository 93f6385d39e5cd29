//! The `print` connector: one line per change on standard output or standard error, as Flink prints it.
//!
//! A line is `+I[a, 1]`; with a `print-identifier` and with several subtasks it starts with `identifier> `,
//! `identifier:2> ` or `2> `. `value` renders single values.

mod value;

use std::io::Write;
use std::sync::Arc;

use arrow::array::ArrayRef;
use eddyline_engine::connector::{
    ConnectorFactory, EpochLog, OptionSpec, OptionValue, Options, Sink, SinkChanges, SinkContext, SinkFactory,
    TableDescription, TableSink, TableSource,
};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Error, Result};

use value::push_value;

/// `'connector' = 'print'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PrintConnector;

impl ConnectorFactory for PrintConnector {
    fn identifier(&self) -> &'static str {
        "print"
    }

    fn doc(&self) -> &'static str {
        "Prints each change as a line such as `+I[a, 1]`."
    }

    fn options(&self) -> Vec<OptionSpec> {
        vec![
            OptionSpec::optional("print-identifier", OptionValue::Text, "Text before each line: `identifier> +I[…]`."),
            OptionSpec::with_default(
                "standard-error",
                OptionValue::Boolean,
                "false",
                "Print to standard error instead of standard output.",
            ),
            OptionSpec::optional("sink.parallelism", OptionValue::Integer, "Number of parallel writers."),
        ]
    }

    fn source(&self, table: &TableDescription) -> Result<TableSource> {
        Err(Error::option(format!("table '{}' cannot be read: 'print' is only a sink", table.name), None))
    }

    fn sink(&self, table: &TableDescription) -> Result<TableSink> {
        let options = Options::check("print", &table.options, self.options())?;
        let factory = PrintFactory {
            identifier: options.text("print-identifier").filter(|i| !i.is_empty()).map(str::to_string),
            to_standard_error: options.boolean("standard-error")?,
        };
        Ok(TableSink { factory: Arc::new(factory), changes: SinkChanges::Retract })
    }
}

struct PrintFactory {
    identifier: Option<String>,
    to_standard_error: bool,
}

impl SinkFactory for PrintFactory {
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let out: Box<dyn Write + Send> =
            if self.to_standard_error { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
        Ok(Box::new(PrintSink {
            prefix: prefix(self.identifier.as_deref(), context.subtask),
            text: String::new(),
            out,
        }))
    }
}

fn prefix(identifier: Option<&str>, subtask: Subtask) -> String {
    match (identifier, subtask.parallelism > 1) {
        (Some(name), true) => format!("{name}:{}> ", subtask.index + 1),
        (Some(name), false) => format!("{name}> "),
        (None, true) => format!("{}> ", subtask.index + 1),
        (None, false) => String::new(),
    }
}

struct PrintSink {
    prefix: String,
    /// Lines of one batch, kept for its memory.
    text: String,
    out: Box<dyn Write + Send>,
}

impl Sink for PrintSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.text.clear();
        let columns: &[ArrayRef] = batch.rows().columns();
        for row in 0..batch.len() {
            self.text.push_str(&self.prefix);
            self.text.push_str(batch.kind(row).symbol());
            self.text.push('[');
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    self.text.push_str(", ");
                }
                push_value(&mut self.text, column, row);
            }
            self.text.push_str("]\n");
        }
        // One call per batch keeps the lines of parallel subtasks whole.
        let written = self.out.write_all(self.text.as_bytes()).and_then(|()| self.out.flush());
        written.map_err(|e| {
            Error::refused("print", format!("the output cannot be written: {e}"), "was its reader closed?")
        })
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        Ok(EpochLog::empty())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Mutex;

    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use eddyline_engine::RowKind;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_carry_kind_values_and_prefix() {
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b c")]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter_with_nullable([("w", words, true), ("c", counts, true)]).unwrap();
        let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::Delete].into_iter().collect();
        let out = Shared::default();
        let prefix = prefix(Some("x"), Subtask { index: 1, parallelism: 2 });
        let mut sink = PrintSink { prefix, text: String::new(), out: Box::new(out.clone()) };
        sink.write(&ChangelogBatch::new(rows, kinds)).unwrap();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "x:2> +I[a, 1]\nx:2> -U[null, 2]\nx:2> -D[b c, 3]\n");
    }

    #[test]
    fn prefix_depends_on_identifier_and_parallelism() {
        let (one, two) = (Subtask { index: 0, parallelism: 1 }, Subtask { index: 0, parallelism: 2 });
        assert_eq!(
            (prefix(None, one), prefix(None, two), prefix(Some("x"), one)),
            (String::new(), "1> ".into(), "x> ".into())
        );
    }
}
