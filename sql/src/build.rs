//! Streaming plan → dataflow: which operators run, how many of each, and how rows travel between them.
//!
//! At parallelism 1 every edge is forward, so that a query runs as one fused task. Above, keyed operators get their
//! rows by hash of the key, and an edge stays forward wherever the rows already lie right. Equal scans are built once.

mod unary;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use chrono_tz::Tz;

use eddyline_engine::aggregate::AggregateCall;
use eddyline_engine::connector::{SinkFactory, TableSink};
use eddyline_engine::dataflow::{
    Dataflow, Exchange, Node, NodeId, NodeKind, OperatorFactory, SourceNode, Subtask, Uid, WatermarkStrategy,
};
use eddyline_engine::operator::Operator;
use eddyline_engine::operators::{
    Deduplicate, Filter, GroupAggregate, GroupAggregateSpec, Join as JoinOperator, JoinSpec, JoinType, Keep, MiniBatch,
    NotNullEnforcer, Project, TimeAttribute, Union, Unnest, WindowAggregate, WindowAggregateSpec,
};
use eddyline_engine::window::WindowSpec;

use crate::config::MiniBatchConfig;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::{
    Expression, GroupAggregate as GroupPlan, Join as JoinPlan, JoinKind, Scan, StreamPlan,
    WindowAggregate as WindowPlan, WindowTime, input_needs_before, is_append_only,
};
use crate::zone::SessionZone;

/// Where a plan's rows go.
pub struct SinkTarget {
    /// Stable name of the sink, for its uid and its transactions.
    pub name: String,
    /// The sink.
    pub sink: TableSink,
    /// Columns that must not be NULL, with their names.
    pub not_null: Vec<(usize, String)>,
    /// True to drop rows that break `not_null` instead of failing.
    pub drop_nulls: bool,
    /// Primary key columns; rows of one key must reach one subtask in order.
    pub primary_key: Vec<usize>,
    /// True when the sink needs the old rows of updates.
    pub needs_before: bool,
    /// Number of writers (`sink.parallelism`); as many as there are producers when it is not given.
    pub parallelism: Option<usize>,
}

impl SinkTarget {
    /// A target that hands every change to whoever asked the query.
    pub fn collecting(sink: TableSink) -> Self {
        SinkTarget {
            name: "collect".to_string(),
            sink,
            not_null: Vec::new(),
            drop_nulls: false,
            primary_key: Vec::new(),
            needs_before: true,
            parallelism: None,
        }
    }
}

/// Builds one dataflow from any number of plans.
pub struct Builder {
    flow: Dataflow,
    settings: BuildSettings,
    scans: Vec<(Scan, Stream)>,
    uids: HashMap<String, usize>,
}

/// What a session says about how its jobs run.
#[derive(Debug, Clone, Copy)]
pub struct BuildSettings {
    /// Subtasks of each operator.
    pub parallelism: usize,
    /// The zone that windows over instants follow.
    pub zone: Tz,
    /// How rows are collected in front of group aggregates, if they are.
    pub mini_batch: Option<MiniBatchConfig>,
}

/// The output of a node, and how its rows lie.
#[derive(Clone)]
struct Stream {
    node: NodeId,
    parallelism: usize,
    /// Columns by whose key group the rows are spread; None when they lie anyhow.
    spread_by: Option<Vec<usize>>,
}

impl Builder {
    /// A builder of jobs that run as `settings` say.
    pub fn new(settings: BuildSettings) -> Self {
        Builder { flow: Dataflow::default(), settings, scans: Vec::new(), uids: HashMap::new() }
    }

    /// Adds `plan`, ending in `target`.
    pub fn add_sink(&mut self, plan: &StreamPlan, target: SinkTarget) -> Result<()> {
        let mut stream = self.build(plan, target.needs_before)?;
        if let Some((exchange, parallelism)) = sink_exchange(&stream, plan, &target)? {
            // A pass-through, so that whatever comes before the sink runs with it.
            let relay: OperatorFactory = Arc::new(|_| Ok(Box::new(Union::new(None)) as Box<dyn Operator>));
            let node = self.operator(format!("exchange:{}", target.name), "Exchange".into(), plan, parallelism, relay);
            self.flow.connect(stream.node, node, 0, exchange);
            stream = Stream { node, parallelism, spread_by: None };
        }
        if !target.not_null.is_empty() {
            let (columns, drop) = (target.not_null.clone(), target.drop_nulls);
            let factory: OperatorFactory =
                Arc::new(move |_| Ok(Box::new(NotNullEnforcer::new(columns.clone(), drop)) as Box<dyn Operator>));
            stream =
                self.chain(&stream, format!("not-null:{}", target.name), "ConstraintEnforcer".into(), plan, factory);
        }
        let uid = self.uid(format!("sink:{}", target.name));
        let name = format!("Sink(table=[{}])", target.name);
        let factory: Arc<dyn SinkFactory> = Arc::clone(&target.sink.factory);
        let kind = NodeKind::Sink(factory);
        let node = Node { uid, name, kind, parallelism: stream.parallelism, schema: plan.schema() };
        let sink = self.flow.add(node);
        self.flow.connect(stream.node, sink, 0, Exchange::Forward);
        Ok(())
    }

    /// The finished, validated dataflow.
    pub fn finish(self) -> Result<Dataflow> {
        self.flow.validate()?;
        Ok(self.flow)
    }

    fn uid(&mut self, text: String) -> Uid {
        let seen = self.uids.entry(text.clone()).or_insert(0);
        *seen += 1;
        Uid(if *seen == 1 { text } else { format!("{text}#{seen}") })
    }

    fn operator(
        &mut self,
        uid: String,
        name: String,
        plan: &StreamPlan,
        parallelism: usize,
        factory: OperatorFactory,
    ) -> NodeId {
        let uid = self.uid(uid);
        self.flow.add(Node { uid, name, kind: NodeKind::Operator(factory), parallelism, schema: plan.schema() })
    }

    /// A node fed straight by `input`, instance by instance.
    fn chain(
        &mut self,
        input: &Stream,
        uid: String,
        name: String,
        plan: &StreamPlan,
        factory: OperatorFactory,
    ) -> Stream {
        let node = self.operator(uid, name, plan, input.parallelism, factory);
        self.flow.connect(input.node, node, 0, Exchange::Forward);
        Stream { node, parallelism: input.parallelism, spread_by: None }
    }

    /// How rows of `input` reach a keyed operator, and how many instances that has.
    fn exchange(&self, input: &Stream, keys: &[usize]) -> (Exchange, usize) {
        if keys.is_empty() {
            return (if input.parallelism == 1 { Exchange::Forward } else { Exchange::Single }, 1);
        }
        if self.settings.parallelism == 1 && input.parallelism == 1 {
            return (Exchange::Forward, 1);
        }
        if input.spread_by.as_deref() == Some(keys) {
            return (Exchange::Forward, input.parallelism);
        }
        (Exchange::Hash(keys.to_vec()), self.settings.parallelism)
    }

    fn build(&mut self, plan: &StreamPlan, needs_before: bool) -> Result<Stream> {
        let below = input_needs_before(plan, needs_before);
        match plan {
            StreamPlan::Scan(scan) => self.build_scan(scan),
            StreamPlan::Values { rows } => self.build_values(rows),
            StreamPlan::Project { input, expressions, schema } => {
                let stream = self.build(input, below)?;
                let spread_by = moved(&stream, expressions);
                let (exprs, schema) = (expressions.clone(), Arc::clone(schema));
                let factory: OperatorFactory = Arc::new(move |_| {
                    Ok(Box::new(Project::new(exprs.clone(), Arc::clone(&schema))) as Box<dyn Operator>)
                });
                let result = self.chain(&stream, "project".into(), plan.describe(), plan, factory);
                Ok(Stream { spread_by, ..result })
            }
            StreamPlan::Filter { input, predicate } => {
                let stream = self.build(input, below)?;
                let predicate = Arc::clone(predicate);
                let factory: OperatorFactory =
                    Arc::new(move |_| Ok(Box::new(Filter::new(Arc::clone(&predicate))) as Box<dyn Operator>));
                let result = self.chain(&stream, "filter".into(), plan.describe(), plan, factory);
                Ok(Stream { spread_by: stream.spread_by, ..result })
            }
            StreamPlan::Unnest { input, collection, outer, ordinality, schema } => {
                let stream = self.build(input, below)?;
                let (collection, schema, outer, ordinality) =
                    (Arc::clone(collection), Arc::clone(schema), *outer, *ordinality);
                let factory: OperatorFactory = Arc::new(move |_| {
                    let unnest = Unnest::new(Arc::clone(&collection), outer, ordinality, Arc::clone(&schema));
                    Ok(Box::new(unnest) as Box<dyn Operator>)
                });
                let result = self.chain(&stream, "unnest".into(), plan.describe(), plan, factory);
                Ok(Stream { spread_by: stream.spread_by, ..result })
            }
            StreamPlan::Expand { input, projections, schema } => {
                let stream = self.build(input, below)?;
                self.build_expand(&stream, projections, schema, plan)
            }
            StreamPlan::WindowAssign { input, time, kind, offset, .. } => {
                let stream = self.build(input, below)?;
                self.build_window_assign(&stream, *time, (*kind, *offset), plan)
            }
            StreamPlan::ChangelogNormalize { input, key, .. } => self.build_normalize(input, key, plan, needs_before),
            StreamPlan::CurrentWatermark { input, schema } => {
                let stream = self.build(input, below)?;
                Ok(self.build_current_watermark(&stream, schema, plan))
            }
            StreamPlan::ToChangelog { input, schema } | StreamPlan::FromChangelog { input, schema, .. } => {
                let stream = self.build(input, below)?;
                Ok(self.build_changelog_table(&stream, schema, plan))
            }
            StreamPlan::GroupAggregate(aggregate) => self.build_group(aggregate, plan, needs_before),
            StreamPlan::WindowAggregate(aggregate) => self.build_window(aggregate, plan),
            StreamPlan::Union { inputs, schema } => self.build_union(inputs, schema, plan, below),
            StreamPlan::Join(join) => self.build_join(join, plan),
            StreamPlan::Deduplicate { input, keys, order, keep_last } => {
                let stream = self.build(input, true)?;
                let keep = if *keep_last { Keep::Last { time: *order } } else { Keep::First };
                let (schema, keys) = (input.schema(), keys.clone());
                let (exchange, parallelism) = self.exchange(&stream, &keys);
                let spread_by = Some(keys.clone());
                let factory: OperatorFactory = Arc::new(move |_| {
                    Ok(Box::new(Deduplicate::new(Arc::clone(&schema), keys.clone(), keep)?) as Box<dyn Operator>)
                });
                let node = self.operator(plan.meaning(), plan.describe(), plan, parallelism, factory);
                self.flow.connect(stream.node, node, 0, exchange);
                Ok(Stream { node, parallelism, spread_by })
            }
        }
    }

    /// The zone in which windows over `column` lie; None for a column without a zone.
    fn window_zone(&self, schema: &SchemaRef, column: usize) -> Option<Tz> {
        matches!(schema.field(column).data_type(), DataType::Timestamp(_, Some(_))).then_some(self.settings.zone)
    }

    fn build_scan(&mut self, scan: &Scan) -> Result<Stream> {
        // `plan::share_scans` has given all scans of the table the same columns.
        let shared = |known: &Scan| known.reads_same(scan) && known.schema == scan.schema;
        if let Some((_, stream)) = self.scans.iter().find(|(known, _)| shared(known)) {
            return Ok(stream.clone());
        }
        let parallelism = scan
            .source
            .max_parallelism
            .map_or(self.settings.parallelism, |max| max.min(self.settings.parallelism))
            .max(1);
        let watermark = scan
            .watermark
            .as_ref()
            .map(|w| WatermarkStrategy { column: w.column, expression: Arc::clone(&w.expression) });
        let source = SourceNode {
            factory: Arc::clone(&scan.source.factory),
            project: scan.project.clone(),
            watermark,
            bounded: scan.source.bounded,
        };
        let uid = self.uid(format!("source:{}", scan.table));
        let name = StreamPlan::Scan(Box::new(scan.clone())).describe();
        let node = Node { uid, name, kind: NodeKind::Source(source), parallelism, schema: Arc::clone(&scan.schema) };
        let stream = Stream { node: self.flow.add(node), parallelism, spread_by: None };
        self.scans.push((scan.clone(), stream.clone()));
        Ok(stream)
    }

    fn build_values(&mut self, rows: &arrow::array::RecordBatch) -> Result<Stream> {
        let factory = Arc::new(crate::values::ValuesSource::new(rows.clone()));
        let source = SourceNode { factory, project: None, watermark: None, bounded: true };
        let uid = self.uid("values".into());
        let name = format!("Values(rows=[{}])", rows.num_rows());
        let node = Node { uid, name, kind: NodeKind::Source(source), parallelism: 1, schema: rows.schema() };
        Ok(Stream { node: self.flow.add(node), parallelism: 1, spread_by: None })
    }

    fn build_expand(
        &mut self,
        input: &Stream,
        projections: &[Vec<Expression>],
        schema: &SchemaRef,
        plan: &StreamPlan,
    ) -> Result<Stream> {
        let (projections, schema) = (projections.to_vec(), Arc::clone(schema));
        let factory: OperatorFactory = Arc::new(move |_| {
            let expand = eddyline_engine::operators::Expand::new(projections.clone(), Arc::clone(&schema));
            Ok(Box::new(expand) as Box<dyn Operator>)
        });
        Ok(self.chain(input, "expand".into(), plan.describe(), plan, factory))
    }

    fn build_group(&mut self, aggregate: &GroupPlan, plan: &StreamPlan, needs_before: bool) -> Result<Stream> {
        let input = self.build(&aggregate.input, true)?;
        let (exchange, parallelism) = self.exchange(&input, &aggregate.keys);
        let retracts = !is_append_only(&aggregate.input);
        let input_schema = aggregate.input.schema();
        let spec = GroupAggregateSpec {
            input: Arc::clone(&input_schema),
            keys: key_expressions(&input_schema, &aggregate.keys),
            key_fields: aggregate.keys.iter().map(|k| input_schema.fields()[*k].clone()).collect(),
            calls: calls_over(&aggregate.calls, retracts),
            schema: Arc::clone(&aggregate.schema),
            update_before: needs_before,
            input_retracts: retracts,
        };
        let factory: OperatorFactory = if let Some(window_end) = aggregate.window_end {
            self.window_group(spec, window_end, &aggregate.input)?
        } else {
            GroupAggregate::new(spec.clone())?;
            let pace = self.settings.mini_batch;
            Arc::new(move |_: Subtask| paced(GroupAggregate::new(spec.clone())?, pace))
        };
        let name = match self.settings.mini_batch.filter(|_| aggregate.window_end.is_none()) {
            Some(pace) => format!("{} in mini-batches({} rows, {:?})", plan.describe(), pace.rows, pace.latency),
            None => plan.describe(),
        };
        let node = self.operator(plan.meaning(), name, plan, parallelism, factory);
        self.flow.connect(input.node, node, 0, exchange);
        let spread_by = (!aggregate.keys.is_empty()).then(|| (0..aggregate.keys.len()).collect());
        Ok(Stream { node, parallelism, spread_by })
    }

    fn build_window(&mut self, aggregate: &WindowPlan, plan: &StreamPlan) -> Result<Stream> {
        let input = self.build(&aggregate.input, true)?;
        let (exchange, parallelism) = self.exchange(&input, &aggregate.keys);
        let retracts = !is_append_only(&aggregate.input);
        let input_schema = aggregate.input.schema();
        let spec = WindowAggregateSpec {
            input: Arc::clone(&input_schema),
            window: WindowSpec { kind: aggregate.kind, offset: aggregate.offset },
            time: match aggregate.time {
                WindowTime::Event(column) => TimeAttribute::Event { column },
                WindowTime::Processing => TimeAttribute::Processing,
            },
            keys: key_expressions(&input_schema, &aggregate.keys),
            key_fields: aggregate.keys.iter().map(|k| input_schema.fields()[*k].clone()).collect(),
            calls: calls_over(&aggregate.calls, retracts),
            schema: Arc::clone(&aggregate.schema),
        };
        WindowAggregate::new(spec.clone())?;
        let zone = match aggregate.time {
            WindowTime::Event(column) => self.window_zone(&input_schema, column),
            WindowTime::Processing => Some(self.settings.zone),
        };
        let factory: OperatorFactory = Arc::new(move |_: Subtask| {
            let window = WindowAggregate::new(spec.clone())?;
            Ok(match zone {
                Some(zone) => Box::new(window.in_zone(Arc::new(SessionZone(zone)))) as Box<dyn Operator>,
                None => Box::new(window),
            })
        });
        let node = self.operator(plan.meaning(), plan.describe(), plan, parallelism, factory);
        self.flow.connect(input.node, node, 0, exchange);
        let spread_by = (!aggregate.keys.is_empty()).then(|| (0..aggregate.keys.len()).collect());
        Ok(Stream { node, parallelism, spread_by })
    }

    fn build_join(&mut self, join: &JoinPlan, plan: &StreamPlan) -> Result<Stream> {
        let inputs = [self.build(&join.left, true)?, self.build(&join.right, true)?];
        let (left_keys, right_keys): (Vec<usize>, Vec<usize>) = join.on.iter().copied().unzip();
        let keys = [left_keys, right_keys];
        let parallelism = if keys[0].is_empty() { 1 } else { self.settings.parallelism };
        let spec = JoinSpec {
            inputs: [join.left.schema(), join.right.schema()],
            keys: keys.clone(),
            join_type: match join.kind {
                JoinKind::Inner => JoinType::Pairs { left_outer: false, right_outer: false },
                JoinKind::Left => JoinType::Pairs { left_outer: true, right_outer: false },
                JoinKind::Right => JoinType::Pairs { left_outer: false, right_outer: true },
                JoinKind::Full => JoinType::Pairs { left_outer: true, right_outer: true },
                JoinKind::Semi => JoinType::Semi,
                JoinKind::Anti => JoinType::Anti,
            },
            null_equals_null: join.null_equals_null,
            condition: join.condition.clone(),
            schema: Arc::clone(&join.schema),
        };
        JoinOperator::new(spec.clone())?;
        let factory: OperatorFactory =
            Arc::new(move |_| Ok(Box::new(JoinOperator::new(spec.clone())?) as Box<dyn Operator>));
        let node = self.operator(plan.meaning(), plan.describe(), plan, parallelism, factory);
        for (port, (stream, keys)) in inputs.iter().zip(keys).enumerate() {
            let exchange = match (keys.is_empty(), stream.parallelism == 1 && parallelism == 1) {
                (_, true) => Exchange::Forward,
                (true, false) => Exchange::Single,
                (false, false) => Exchange::Hash(keys),
            };
            self.flow.connect(stream.node, node, port, exchange);
        }
        Ok(Stream { node, parallelism, spread_by: None })
    }

    fn build_union(
        &mut self,
        inputs: &[StreamPlan],
        schema: &SchemaRef,
        plan: &StreamPlan,
        needs_before: bool,
    ) -> Result<Stream> {
        let streams = inputs.iter().map(|i| self.build(i, needs_before)).collect::<Result<Vec<_>>>()?;
        let parallelism = streams.iter().map(|s| s.parallelism).max().unwrap_or(1);
        let relabel = Some(Arc::clone(schema));
        let factory: OperatorFactory =
            Arc::new(move |_| Ok(Box::new(Union::new(relabel.clone())) as Box<dyn Operator>));
        let node = self.operator("union".into(), plan.describe(), plan, parallelism, factory);
        for (port, stream) in streams.iter().enumerate() {
            let exchange = if stream.parallelism == parallelism { Exchange::Forward } else { Exchange::Single };
            self.flow.connect(stream.node, node, port, exchange);
        }
        Ok(Stream { node, parallelism, spread_by: None })
    }
}

/// How rows get to a sink, and to how many instances of it; None when they are there already.
fn sink_exchange(input: &Stream, plan: &StreamPlan, target: &SinkTarget) -> Result<Option<(Exchange, usize)>> {
    let parallelism = target.parallelism.unwrap_or(input.parallelism);
    let spread = parallelism == 1 || input.spread_by.as_ref() == Some(&target.primary_key);
    let keyed = !target.primary_key.is_empty();
    if parallelism == input.parallelism && (spread || !keyed) {
        return Ok(None);
    }
    let exchange = match parallelism {
        1 => Exchange::Single,
        // Rows of one key must stay in order on their way to one instance.
        _ if keyed => Exchange::Hash(target.primary_key.clone()),
        _ if is_append_only(plan) => Exchange::Rebalance,
        _ => {
            let message = format!(
                "The sink for table '{}' has a configured sink parallelism of {parallelism}, while the input parallelism is \
                 {}. Since the query changes rows, a primary key is required but no primary key is found",
                target.name, input.parallelism
            );
            return Err(SqlError::new(SqlState::InvalidQuery, message)
                .with_hint("declare a PRIMARY KEY … NOT ENFORCED, or remove 'sink.parallelism'"));
        }
    };
    Ok(Some((exchange, parallelism)))
}

/// `aggregate`, behind mini-batches if they are wanted.
fn paced(aggregate: GroupAggregate, pace: Option<MiniBatchConfig>) -> eddyline_engine::Result<Box<dyn Operator>> {
    let Some(pace) = pace else { return Ok(Box::new(aggregate)) };
    let latency = i64::try_from(pace.latency.as_micros()).unwrap_or(i64::MAX);
    Ok(Box::new(MiniBatch::new(Box::new(aggregate), pace.rows, latency)))
}

/// `calls`, ready for rows that are taken back if the input `retracts`.
fn calls_over(calls: &[AggregateCall], retracts: bool) -> Vec<AggregateCall> {
    calls.iter().cloned().map(|call| AggregateCall { retractable: retracts, ..call }).collect()
}

fn key_expressions(schema: &SchemaRef, keys: &[usize]) -> Vec<Expression> {
    let column = |k: &usize| {
        Arc::new(datafusion_physical_expr::expressions::Column::new(schema.field(*k).name(), *k)) as Expression
    };
    keys.iter().map(column).collect()
}

/// Where the columns by which `input` is spread are after a projection; None when one is gone.
fn moved(input: &Stream, expressions: &[Expression]) -> Option<Vec<usize>> {
    let find = |column: &usize| {
        expressions.iter().position(|e| {
            e.downcast_ref::<datafusion_physical_expr::expressions::Column>().is_some_and(|c| c.index() == *column)
        })
    };
    input.spread_by.as_ref()?.iter().map(find).collect()
}
