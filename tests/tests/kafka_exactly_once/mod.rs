//! The exactly-once sink of the `kafka` connector against a real broker: its committer in this process, and the whole
//! program under faults: killed at random and at named moments, stopped and taken over, without its broker.
//!
//! Here is what the tests of the committer share: a pipeline, and processes that claim to run it.

mod commits;
mod faults;
mod jobs;
mod kills;
mod refusals;
mod results;
mod rollover;
mod suite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use eddyline_connectors::kafka::KafkaConnector;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::connector::{
    ColumnKind, Committer, ConnectorFactory, EpochLog, Guard, Sink, SinkContext, SinkFactory, TableColumn,
    TableDescription,
};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::error::{Error, Result};
use eddyline_engine::time::Epoch;
use eddyline_tests::services::kafka::{Kafka, shared};
use rdkafka::Message;

const PARTITIONS: i32 = 3;

/// A pipeline that writes numbers to a topic of its own.
struct Pipeline {
    topic: String,
    uuid: String,
    options: BTreeMap<String, String>,
}

impl Pipeline {
    fn new(kafka: &Kafka) -> Pipeline {
        let topic = kafka.fresh_topic("once", PARTITIONS);
        let options = [
            ("connector", "kafka"),
            ("topic", &topic),
            ("properties.bootstrap.servers", &kafka.bootstrap()),
            ("format", "csv"),
            ("key.format", "csv"),
            ("key.fields", "id"),
            ("sink.delivery-guarantee", "exactly-once"),
        ];
        let options = options.map(|(key, value)| (key.to_string(), value.to_string())).into();
        Pipeline { uuid: kafka.fresh_name("pipeline"), topic, options }
    }

    fn with(mut self, key: &str, value: &str) -> Pipeline {
        self.options.insert(key.to_string(), value.to_string());
        self
    }

    fn factory(&self) -> Result<Arc<dyn SinkFactory>> {
        let id = TableColumn { field: Arc::new(Field::new("id", DataType::Int64, false)), kind: ColumnKind::Physical };
        let (columns, options) = (vec![id], self.options.clone());
        let table = TableDescription { name: "t".into(), columns, primary_key: Vec::new(), options };
        Ok(KafkaConnector.sink(&table)?.factory)
    }

    /// A process that has started to run the pipeline and shut out whoever ran it before.
    fn start(&self) -> Result<Process> {
        let mut process = self.open()?;
        process.committer.fence(1)?;
        Ok(process)
    }

    fn open(&self) -> Result<Process> {
        let owns = Arc::new(AtomicBool::new(true));
        let asked = owns.clone();
        let guard = Guard::new(move || match asked.load(Ordering::Acquire) {
            true => Ok(()),
            false => Err(Error::checkpoint("the fence is lost")),
        });
        let subtask = Subtask { index: 0, parallelism: 1 };
        let context = SinkContext { subtask, pipeline: self.uuid.clone(), sink: "sink".to_string(), guard };
        let factory = self.factory()?;
        let committer = factory.committer(&context)?.expect("an exactly-once sink has a committer");
        let sink = factory.open(&context)?;
        Ok(Process { factory, committer, sink, owns })
    }

    /// The numbers that are visible, sorted.
    fn visible(&self) -> Vec<i64> {
        let messages = shared().read_committed(&self.topic);
        let number = |m: &rdkafka::message::OwnedMessage| {
            String::from_utf8_lossy(m.payload().unwrap_or_default()).trim().parse().expect("a number")
        };
        let mut numbers: Vec<i64> = messages.iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// What one process holds of a pipeline.
struct Process {
    factory: Arc<dyn SinkFactory>,
    committer: Box<dyn Committer>,
    sink: Box<dyn Sink>,
    /// False when the guard fails.
    owns: Arc<AtomicBool>,
}

impl Process {
    /// The log of an epoch with these numbers.
    fn log(&mut self, numbers: impl IntoIterator<Item = i64>) -> Arc<EpochLog> {
        let column: Arc<Int64Array> = Arc::new(numbers.into_iter().collect());
        let field = Field::new("id", DataType::Int64, false);
        let rows = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(vec![field])), vec![column]);
        self.sink.write(&ChangelogBatch::inserts(rows.expect("rows"))).expect("rows are taken");
        Arc::new(self.sink.prepare(Epoch(0)).expect("a log"))
    }

    fn apply(&mut self, epoch: u64, log: &Arc<EpochLog>) -> Result<()> {
        self.committer.apply(Epoch(epoch), std::slice::from_ref(log))
    }

    fn marker(&mut self) -> Option<u64> {
        self.committer.applied_up_to().expect("a marker can be read").map(|epoch| epoch.0)
    }
}

/// Message and hint of an error that no restart can cure.
#[track_caller]
fn refusal<T>(result: Result<T>) -> String {
    let error = result.err().expect("it is refused");
    assert!(!error.is_retriable(), "{error}");
    format!("{error}; hint: {}", error.hint().unwrap_or("none"))
}
