//! Operators with one input that need little planning, and groups per attached window.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use eddyline_engine::dataflow::{OperatorFactory, Subtask};
use eddyline_engine::operator::Operator;
use eddyline_engine::operators::{
    ChangelogNormalize, CurrentWatermark, FromChangelog, GroupAggregateSpec, ToChangelog, WindowAssign, WindowGroup,
};
use eddyline_engine::window::{WindowKind, WindowSpec};

use super::{Builder, Stream};
use crate::error::{Result, SqlError};
use crate::plan::{StreamPlan, WindowTime};
use crate::zone::SessionZone;

impl Builder {
    /// Rows by their key, with old rows if `needs_before`. The columns are part of the uid because they are the state.
    pub(super) fn build_normalize(
        &mut self,
        input: &StreamPlan,
        key: &[usize],
        plan: &StreamPlan,
        needs_before: bool,
    ) -> Result<Stream> {
        let input = self.build(input, false)?;
        let (exchange, parallelism) = self.exchange(&input, key);
        let (key, schema) = (key.to_vec(), plan.schema());
        let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let uid = format!("{} of {}", plan.meaning(), columns.join(","));
        let spread_by = Some(key.clone());
        let factory: OperatorFactory = Arc::new(move |_| {
            let normalize = ChangelogNormalize::new(Arc::clone(&schema), key.clone(), needs_before)?;
            Ok(Box::new(normalize) as Box<dyn Operator>)
        });
        let node = self.operator(uid, plan.describe(), plan, parallelism, factory);
        self.flow.connect(input.node, node, 0, exchange);
        Ok(Stream { node, parallelism, spread_by })
    }

    pub(super) fn build_current_watermark(&mut self, input: &Stream, schema: &SchemaRef, plan: &StreamPlan) -> Stream {
        let schema = Arc::clone(schema);
        let factory: OperatorFactory =
            Arc::new(move |_| Ok(Box::new(CurrentWatermark::new(Arc::clone(&schema))) as Box<dyn Operator>));
        let result = self.chain(input, "current-watermark".into(), plan.describe(), plan, factory);
        Stream { spread_by: input.spread_by.clone(), ..result }
    }

    /// `FROM_CHANGELOG` where `plan` names a column with the operation, else `TO_CHANGELOG`.
    pub(super) fn build_changelog_table(&mut self, input: &Stream, schema: &SchemaRef, plan: &StreamPlan) -> Stream {
        let operation = match plan {
            StreamPlan::FromChangelog { operation, .. } => Some(*operation),
            _ => None,
        };
        let schema = Arc::clone(schema);
        let factory: OperatorFactory = Arc::new(move |_| {
            Ok(match operation {
                Some(operation) => Box::new(FromChangelog::new(operation, Arc::clone(&schema))) as Box<dyn Operator>,
                None => Box::new(ToChangelog::new(Arc::clone(&schema))),
            })
        });
        self.chain(input, "changelog-table".into(), plan.describe(), plan, factory)
    }

    pub(super) fn build_window_assign(
        &mut self,
        input: &Stream,
        time: WindowTime,
        (kind, offset): (WindowKind, i64),
        plan: &StreamPlan,
    ) -> Result<Stream> {
        let WindowTime::Event(column) = time else {
            return Err(SqlError::unsupported(
                "a window function on processing time must be aggregated by window_start and window_end",
            ));
        };
        let (spec, schema) = (WindowSpec { kind, offset }, plan.schema());
        let zone = self.window_zone(&schema, column);
        let factory: OperatorFactory = Arc::new(move |_| {
            let assign = WindowAssign::new(spec, column, Arc::clone(&schema));
            Ok(match zone {
                Some(zone) => Box::new(assign.in_zone(Arc::new(SessionZone(zone)))) as Box<dyn Operator>,
                None => Box::new(assign),
            })
        });
        Ok(self.chain(input, "window-assign".into(), plan.describe(), plan, factory))
    }

    /// Makes groups that end with the window that their rows bring along.
    pub(super) fn window_group(
        &self,
        spec: GroupAggregateSpec,
        window_end: usize,
        input: &StreamPlan,
    ) -> Result<OperatorFactory> {
        WindowGroup::new(spec.clone(), window_end)?;
        let zone = windows_are_zoned(input).then_some(self.settings.zone);
        Ok(Arc::new(move |_: Subtask| {
            let group = WindowGroup::new(spec.clone(), window_end)?;
            Ok(match zone {
                Some(zone) => Box::new(group.in_zone(Arc::new(SessionZone(zone)))) as Box<dyn Operator>,
                None => Box::new(group),
            })
        }))
    }
}

/// True when the windows that rows of `plan` bring along were laid out on a wall clock.
fn windows_are_zoned(plan: &StreamPlan) -> bool {
    let zoned = |input: &StreamPlan, time: WindowTime| match time {
        WindowTime::Event(column) => {
            matches!(input.schema().field(column).data_type(), DataType::Timestamp(_, Some(_)))
        }
        WindowTime::Processing => true,
    };
    match plan {
        StreamPlan::WindowAssign { input, time, .. } => zoned(input, *time),
        StreamPlan::WindowAggregate(aggregate) => zoned(&aggregate.input, aggregate.time),
        other => other.inputs().into_iter().any(windows_are_zoned),
    }
}
