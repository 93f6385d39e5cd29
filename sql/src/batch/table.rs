//! One version of a view as a table of DataFusion.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType};
use eddyline_engine::relation::Version;

use super::lookup::{Lookup, lookup, names_key};

const BATCH_ROWS: usize = 8192;

/// A version that can be scanned, or looked up by its key.
#[derive(Debug)]
pub(super) struct VersionTable {
    version: Version,
    /// Rows that each scan planned so far will read.
    planned: Mutex<Vec<usize>>,
}

impl VersionTable {
    pub(super) fn new(version: Version) -> Self {
        VersionTable { version, planned: Mutex::default() }
    }

    /// Rows that each scan will read.
    pub(super) fn planned(&self) -> Vec<usize> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait::async_trait]
impl TableProvider for VersionTable {
    fn schema(&self) -> SchemaRef {
        self.version.schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // A filter that may become a look-up comes along and is checked again above; the others stay where they are.
        let support = |filter: &&Expr| match names_key(&self.version, filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.version.schema().project(columns)?),
            None => self.version.schema().clone(),
        };
        let found = lookup(&self.version, filters)?;
        let rows = found.as_ref().map_or(self.version.rows(), Lookup::keys);
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).push(rows);
        let (version, projection) = (self.version.clone(), projection.cloned());
        let scan = VersionScan { schema: schema.clone(), version, projection, lookup: found };
        // The limit holds for rows that pass the filters, which are checked above.
        let limit = limit.filter(|_| filters.is_empty());
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(scan)], None, [], false, limit)?))
    }
}

/// The rows of a version, or those of some keys.
#[derive(Debug)]
struct VersionScan {
    schema: SchemaRef,
    version: Version,
    projection: Option<Vec<usize>>,
    lookup: Option<Lookup>,
}

fn failed(error: eddyline_engine::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl VersionScan {
    fn looked_up(&self, lookup: &Lookup) -> Result<RecordBatch> {
        let found = self.version.get(lookup.columns()).map_err(failed)?;
        Ok(match &self.projection {
            Some(columns) => found.project(columns)?,
            None => found,
        })
    }
}

impl PartitionStream for VersionScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send> = match &self.lookup {
            Some(lookup) => Box::new(std::iter::once(self.looked_up(lookup))),
            None => Box::new(self.version.batches(self.projection.clone(), BATCH_ROWS).map(|b| b.map_err(failed))),
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches)))
    }
}
