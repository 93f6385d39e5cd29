//! The exactly-once sink of the `kafka` connector runs through the tests that all such sinks share.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_engine::ChangelogBatch;
use eddyline_engine::connector::SinkFactory;
use eddyline_engine::error::Result;
use eddyline_engine::testing::sink_suite::{TestTarget, check_sink};
use eddyline_tests::services::kafka::shared;

use super::Pipeline;

/// A topic with its pipeline.
struct Topic(Pipeline);

impl TestTarget for Topic {
    fn factory(&self) -> Result<Arc<dyn SinkFactory>> {
        self.0.factory()
    }

    fn batch(&self, numbers: &[i64]) -> ChangelogBatch {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
        let column = Arc::new(Int64Array::from(numbers.to_vec()));
        ChangelogBatch::inserts(RecordBatch::try_new(Arc::new(schema), vec![column]).expect("one column"))
    }

    fn visible(&self) -> Vec<i64> {
        self.0.visible()
    }

    fn needs_guard(&self) -> bool {
        true
    }
}

#[test]
fn topic_passes_the_suite() {
    // Transactional ids are the pipeline's; a prefix of its own keeps the facts apart.
    check_sink(|| {
        let prefix = shared().fresh_name("suite");
        Topic(Pipeline::new(shared()).with("sink.transactional-id-prefix", &prefix))
    });
}
