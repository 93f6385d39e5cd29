//! The queries of one job with their sinks, at every stage of planning, and the dataflow that they become.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_expr::LogicalPlan;
use eddyline_engine::dataflow::Dataflow;

use crate::build::{BuildSettings, Builder, SinkTarget};
use crate::error::Result;
use crate::plan::{self, Query};

/// A query and the sink it fills.
struct Filled {
    sink: String,
    /// True when the sink wants the old rows of updates.
    needs_before: bool,
    query: Query,
}

/// One job, ready to run.
pub struct Pipeline {
    filled: Vec<Filled>,
    /// Names of the materialized views that it reads.
    pub reads: Vec<String>,
    /// What runs.
    pub dataflow: Dataflow,
}

impl Pipeline {
    /// Builds the job of these queries. They read every table once.
    pub fn build(queries: Vec<(SinkTarget, Query)>, settings: BuildSettings) -> Result<Self> {
        let (targets, mut queries): (Vec<SinkTarget>, Vec<Query>) = queries.into_iter().unzip();
        plan::share_scans(queries.iter_mut().map(|query| &mut query.stream))?;
        let mut builder = Builder::new(settings);
        let mut filled = Vec::with_capacity(queries.len());
        let mut reads = Vec::new();
        for (target, mut query) in targets.into_iter().zip(queries) {
            query.stream = plan::merge_projections(query.stream)?;
            plan::note_views(&query.stream, &mut reads);
            let (sink, needs_before) = (target.name.clone(), target.needs_before);
            builder.add_sink(&query.stream, target)?;
            filled.push(Filled { sink, needs_before, query });
        }
        Ok(Pipeline { filled, reads, dataflow: builder.finish()? })
    }

    /// Columns of the first query.
    pub fn schema(&self) -> SchemaRef {
        self.filled.first().map_or_else(|| Arc::new(Schema::empty()), |filled| filled.query.stream.schema())
    }

    /// Every stage of the job in words. Options of tables, and with them secrets, are in none of them.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        self.explain_logical(&mut text, "Abstract Syntax Tree", |query| &query.typed);
        self.explain_logical(&mut text, "Optimized Logical Plan", |query| &query.optimized);
        text.push_str("== Optimized Physical Plan ==\n");
        for filled in &self.filled {
            let stream = &filled.query.stream;
            let fields: Vec<String> = stream.schema().fields().iter().map(|f| f.name().clone()).collect();
            text.push_str(&format!("Sink(table=[{}], fields=[{}])\n", filled.sink, fields.join(", ")));
            text.push_str(&plan::tree(stream, filled.needs_before, 1));
            text.push('\n');
        }
        text.push_str("== Physical Execution Plan ==\n");
        text.push_str(&self.dataflow.to_string());
        text
    }

    fn explain_logical(&self, text: &mut String, title: &str, stage: fn(&Query) -> &LogicalPlan) {
        text.push_str(&format!("== {title} ==\n"));
        for filled in &self.filled {
            text.push_str(&format!("Sink: {}\n", filled.sink));
            for line in plan::logical_text(stage(&filled.query)).lines() {
                text.push_str(&format!("  {line}\n"));
            }
            text.push('\n');
        }
    }
}
