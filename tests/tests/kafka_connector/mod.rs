//! The `kafka` connector against a real broker (and against the embedded one).
//!
//! Here are the pieces that its tests share: tables in a line, readers drained to lists of text.

mod embedded;
mod metadata;
mod program;
mod refusals;
mod restore;
mod sink;
mod startup;
mod upsert;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use eddyline_connectors::kafka::KafkaConnector;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::connector::{
    ColumnKind, ConnectorFactory, Guard, Polled, Sink, SinkContext, SourceReader, SplitPosition, TableColumn,
    TableDescription,
};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::error::Result;
use eddyline_tests::services::kafka::{Kafka, shared};

const DEADLINE: Duration = Duration::from_secs(30);
const ONE: Subtask = Subtask { index: 0, parallelism: 1 };

/// A table under construction.
struct Table(TableDescription);

impl Table {
    /// A table of one column `line`, raw, on `topic` of the shared broker.
    fn lines(topic: &str) -> Table {
        Table::at(&shared().bootstrap(), topic, "raw").column("line", DataType::Utf8)
    }

    fn at(bootstrap: &str, topic: &str, format: &str) -> Table {
        let options = BTreeMap::new();
        let empty = TableDescription { name: "t".into(), columns: Vec::new(), primary_key: Vec::new(), options };
        Table(empty)
            .with("connector", "kafka")
            .with("topic", topic)
            .with("properties.bootstrap.servers", bootstrap)
            .with("format", format)
    }

    fn with(mut self, key: &str, value: &str) -> Table {
        self.0.options.insert(key.to_string(), value.to_string());
        self
    }

    fn without(mut self, key: &str) -> Table {
        self.0.options.remove(key);
        self
    }

    fn column(self, name: &str, data_type: DataType) -> Table {
        self.any_column(name, data_type, ColumnKind::Physical)
    }

    fn metadata(self, name: &str, data_type: DataType, key: &str) -> Table {
        self.any_column(name, data_type, ColumnKind::Metadata { key: key.to_string(), is_virtual: false })
    }

    fn any_column(mut self, name: &str, data_type: DataType, kind: ColumnKind) -> Table {
        self.0.columns.push(TableColumn { field: Arc::new(Field::new(name, data_type, true)), kind });
        self
    }

    /// Reads from the oldest to what is now the newest message.
    fn all(self) -> Table {
        self.with("scan.startup.mode", "earliest-offset").with("scan.bounded.mode", "latest-offset")
    }

    fn open(&self, subtask: Subtask, restored: Option<&[SplitPosition]>) -> Result<Box<dyn SourceReader>> {
        self.connector().source(&self.0)?.factory.open(subtask, restored)
    }

    fn connector(&self) -> Arc<dyn ConnectorFactory> {
        let name = &self.0.options["connector"];
        eddyline_connectors::registry().get(name).expect("a connector of the program").clone()
    }

    fn reader(&self) -> Box<dyn SourceReader> {
        self.open(ONE, None).expect("a reader")
    }

    fn open_sink(&self, subtask: Subtask) -> Result<Box<dyn Sink>> {
        let context = SinkContext { subtask, pipeline: "p".to_string(), sink: "s".to_string(), guard: Guard::open() };
        self.connector().sink(&self.0)?.factory.open(&context)
    }

    fn sink_schema(&self) -> Arc<Schema> {
        self.0.sink_schema()
    }

    /// The message and hint with which opening fails.
    fn refusal(&self) -> String {
        let error = self.open(ONE, None).err().expect("opening fails");
        format!("{error}; hint: {}", error.hint().unwrap_or("none"))
    }
}

/// All rows until the end, as `split|value|value…`, in the order in which they came.
fn drain(reader: &mut dyn SourceReader) -> Vec<String> {
    let deadline = Instant::now() + DEADLINE;
    let mut rows = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "no end within {DEADLINE:?} after {} rows", rows.len());
        match reader.poll(1000, Duration::from_millis(100)).expect("rows") {
            Polled::Rows { split, batch } => rows.extend(texts(&split, &batch)),
            Polled::End => return rows,
            Polled::Nothing | Polled::SplitEnd(_) => {}
        }
    }
}

/// The next `count` rows.
fn next_rows(reader: &mut dyn SourceReader, count: usize) -> Vec<String> {
    let deadline = Instant::now() + DEADLINE;
    let mut rows = Vec::new();
    while rows.len() < count {
        assert!(Instant::now() < deadline, "only {rows:?} within {DEADLINE:?}");
        if let Polled::Rows { split, batch } = reader.poll(1000, Duration::from_millis(100)).expect("rows") {
            rows.extend(texts(&split, &batch));
        }
    }
    rows
}

fn texts(split: &str, batch: &ChangelogBatch) -> Vec<String> {
    let value = |column: &dyn Array, row: usize| match column.data_type() {
        _ if column.is_null(row) => "NULL".to_string(),
        DataType::Binary => String::from_utf8_lossy(column.as_binary::<i32>().value(row)).to_string(),
        _ => array_value_to_string(column, row).expect("a text"),
    };
    let row = |row| batch.rows().columns().iter().map(|c| value(c, row)).collect::<Vec<_>>().join("|");
    (0..batch.len()).map(|index| format!("{split}|{}", row(index))).collect()
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// A topic that holds `count` lines `line 0…`, spread over its partitions.
fn topic_of_lines(kafka: &Kafka, partitions: usize, count: usize) -> String {
    let topic = kafka.fresh_topic("lines", partitions as i32);
    kafka.produce_lines(&topic, partitions, (0..count).map(|i| format!("line {i}")));
    topic
}

/// Next offset per split.
fn offsets(positions: &[SplitPosition]) -> BTreeMap<String, i64> {
    positions.iter().map(|p| (p.split.clone(), p.position["offset"].as_i64().expect("an offset"))).collect()
}
