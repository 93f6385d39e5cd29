//! Relations of `FROM` that DataFusion does not plan by itself: window table functions, joins with `UNNEST`, and tables
//! with an `OPTIONS` hint.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, Schema};
use datafusion_common::{Column, DFSchema, Result, TableReference, plan_err};
use datafusion_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinOperator, TableAlias, TableFactor,
    TableWithJoins,
};

use super::attributes;
use super::changelog_table::ChangelogTable;
use super::context::Tables;
use super::lower::bind;
use super::nodes::{Unnest, WindowAssign};
use crate::error::{SqlError, SqlState};
use eddyline_engine::window::{WindowKind, WindowSpec};

/// Plans the relations of this module and leaves all others to DataFusion.
pub struct StreamingRelations {
    tables: Arc<Tables>,
}

impl StreamingRelations {
    /// A planner that finds tables in `tables`.
    pub fn new(tables: Arc<Tables>) -> Self {
        StreamingRelations { tables }
    }
}

impl std::fmt::Debug for StreamingRelations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamingRelations")
    }
}

impl RelationPlanner for StreamingRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            // As an ordinary table it would give rows of other times.
            TableFactor::Table { version: Some(_), name, .. } => {
                let message = format!("temporal joins ('{name}' FOR SYSTEM_TIME AS OF …) are not supported yet");
                Err(SqlError::unsupported(message).into())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } if ends_with_unnest(&table_with_joins) => {
                planned(plan_unnest(*table_with_joins, context)?, None)
            }
            TableFactor::Table { name, args: Some(args), alias, .. } => {
                planned(plan_function(&name.to_string(), args.args, context)?, alias)
            }
            TableFactor::TableFunction { expr: Ast::Function(call), alias } => {
                let FunctionArguments::List(list) = call.args else {
                    return plan_err!("table function '{}' without arguments", call.name);
                };
                planned(plan_function(&call.name.to_string(), list.args, context)?, alias)
            }
            TableFactor::Table { ref with_hints, args: None, .. } if !with_hints.is_empty() => {
                let options = crate::parse::table_options(&relation)?;
                let TableFactor::Table { name, alias, .. } = relation else { return plan_err!("not a table") };
                let reference = context.object_name_to_table_reference(name)?;
                let source = self.tables.source(&reference, &options)?;
                planned(LogicalPlanBuilder::scan(reference, source, None)?.build()?, alias)
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn planned(plan: LogicalPlan, alias: Option<TableAlias>) -> Result<RelationPlanning> {
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}

fn ends_with_unnest(table: &TableWithJoins) -> bool {
    table.joins.last().is_some_and(|join| matches!(join.relation, TableFactor::UNNEST { .. }))
}

fn plan_unnest(mut table: TableWithJoins, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let Some(join) = table.joins.pop() else { return plan_err!("UNNEST has nothing to be joined with") };
    let outer = match &join.join_operator {
        JoinOperator::CrossJoin(_) | JoinOperator::Inner(_) | JoinOperator::Join(_) => false,
        JoinOperator::LeftOuter(_) | JoinOperator::Left(_) => true,
        _ => return plan_err!("UNNEST can be joined by CROSS JOIN and by LEFT JOIN … ON TRUE"),
    };
    let TableFactor::UNNEST { alias, mut array_exprs, with_ordinality, .. } = join.relation else {
        return plan_err!("not an UNNEST");
    };
    let (Some(collection), true) = (array_exprs.pop(), array_exprs.is_empty()) else {
        return plan_err!("UNNEST takes one array, map or multiset");
    };
    let input = if table.joins.is_empty() {
        context.plan(table.relation)?
    } else {
        context.plan(TableFactor::NestedJoin { table_with_joins: Box::new(table), alias: None })?
    };
    let collection = context.sql_to_expr(collection, input.schema())?;
    let qualifier = alias.as_ref().map(|a| TableReference::bare(a.name.value.clone()));
    let names: Vec<String> =
        alias.iter().flat_map(|a| a.columns.iter()).map(|c| context.normalize_ident(c.name.clone())).collect();
    Ok(Unnest::try_new(input, collection, outer, with_ordinality, qualifier, &names)?.into_plan())
}

/// The arguments of a window table function by name, whether they were given by name or by position.
struct Arguments(BTreeMap<String, Ast>);

impl Arguments {
    fn new(function: &str, args: Vec<FunctionArg>, positions: &[&str]) -> Result<Self> {
        let mut named = BTreeMap::new();
        for (index, arg) in args.into_iter().enumerate() {
            let (name, value) = match arg {
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    (name.value.to_uppercase(), value)
                }
                FunctionArg::ExprNamed { name: Ast::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                    (name.value.to_uppercase(), value)
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => match positions.get(index) {
                    Some(name) => ((*name).to_string(), value),
                    None => return plan_err!("{function} takes at most {} arguments", positions.len()),
                },
                other => return plan_err!("argument '{other}' of {function} is not understood"),
            };
            named.insert(name, value);
        }
        Ok(Arguments(named))
    }

    fn take(&mut self, function: &str, name: &str) -> Result<Ast> {
        match self.0.remove(name) {
            Some(value) => Ok(value),
            None => plan_err!("{function} needs the argument {name}"),
        }
    }

    fn micros(&mut self, function: &str, name: &str, context: &mut dyn RelationPlannerContext) -> Result<i64> {
        let value = self.take(function, name)?;
        interval_micros(value, context)
    }
}

fn plan_function(name: &str, args: Vec<FunctionArg>, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let function = name.to_uppercase();
    let positions: &[&str] = match function.as_str() {
        "TUMBLE" => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
        "HOP" => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
        "CUMULATE" => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
        "TO_CHANGELOG" | "FROM_CHANGELOG" => return plan_changelog(&function, args, context),
        _ => {
            return Err(SqlError::unsupported(format!("table function '{name}' is not supported yet"))
                .with_hint("supported table functions: TUMBLE, HOP, CUMULATE, TO_CHANGELOG, FROM_CHANGELOG")
                .into());
        }
    };
    let mut arguments = Arguments::new(&function, args, positions)?;
    let input = plan_table_argument(arguments.take(&function, "DATA")?, context)?;
    let time = plan_descriptor(&arguments.take(&function, "TIMECOL")?, &input)?;
    let size = arguments.micros(&function, "SIZE", context)?;
    let offset = match arguments.0.remove("OFFSET") {
        Some(value) => interval_micros(value, context)?,
        None => 0,
    };
    let kind = match function.as_str() {
        "TUMBLE" => WindowKind::Tumble { size },
        "HOP" => WindowKind::Hop { slide: arguments.micros(&function, "SLIDE", context)?, size },
        _ => WindowKind::Cumulate { step: arguments.micros(&function, "STEP", context)?, size },
    };
    let window = WindowSpec { kind, offset };
    window.validate().map_err(|e| SqlError::new(SqlState::InvalidQuery, e.to_string()))?;
    Ok(WindowAssign::try_new(input, time, kind, offset)?.into_plan())
}

/// `TO_CHANGELOG(input => TABLE t [, op => DESCRIPTOR(c)])` and its inverse.
fn plan_changelog(
    function: &str,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let mut arguments = Arguments::new(function, args, &["INPUT", "OP"])?;
    let input = plan_table_argument(arguments.take(function, "INPUT")?, context)?;
    let operation = match arguments.0.remove("OP") {
        Some(descriptor) => descriptor_name(&descriptor)?.value,
        None => "op".to_string(),
    };
    if let Some(name) = arguments.0.keys().next() {
        return Err(SqlError::unsupported(format!("the argument {name} of {function} is not supported yet")).into());
    }
    let node = match function {
        "TO_CHANGELOG" => ChangelogTable::to_changelog(input, &operation)?,
        _ => ChangelogTable::from_changelog(input, &operation)?,
    };
    Ok(node.into_plan())
}

/// `TABLE t`, which the parser gives as a call of a function `TABLE`, or a subquery.
fn plan_table_argument(data: Ast, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let relation = match data {
        Ast::Subquery(subquery) => TableFactor::Derived { lateral: false, subquery, alias: None, sample: None },
        Ast::Function(call) if call.name.to_string().eq_ignore_ascii_case("TABLE") => {
            let FunctionArguments::List(list) = call.args else { return plan_err!("TABLE needs a name") };
            let name = match list.args.into_iter().next() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Identifier(name)))) => vec![name],
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::CompoundIdentifier(names)))) => names,
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Subquery(subquery)))) => {
                    let relation = TableFactor::Derived { lateral: false, subquery, alias: None, sample: None };
                    return context.plan(relation);
                }
                _ => return plan_err!("TABLE needs the name of a table"),
            };
            table_factor(name)
        }
        other => return plan_err!("a window function takes TABLE name as its first argument, not '{other}'"),
    };
    context.plan(relation)
}

fn table_factor(name: Vec<sqlparser::ast::Ident>) -> TableFactor {
    TableFactor::Table {
        name: name.into(),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// The column of `DESCRIPTOR(c)`.
fn descriptor_name(descriptor: &Ast) -> Result<Ident> {
    match descriptor {
        Ast::Function(call) => match &call.args {
            FunctionArguments::List(list) => match list.args.first() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Identifier(name)))) => Ok(name.clone()),
                _ => plan_err!("DESCRIPTOR takes a column name"),
            },
            _ => plan_err!("DESCRIPTOR takes a column name"),
        },
        other => plan_err!("this argument takes DESCRIPTOR(column), not '{other}'"),
    }
}

/// `DESCRIPTOR(c)`: a time attribute of the table.
fn plan_descriptor(descriptor: &Ast, input: &LogicalPlan) -> Result<Expr> {
    let name = descriptor_name(descriptor)?;
    let names: Vec<&str> = input.schema().fields().iter().map(|f| f.name().as_str()).collect();
    let Some(index) = names.iter().position(|n| *n == name.value) else {
        return Err(SqlError::unknown_column(&name.value, names).at(name.span.start).into());
    };
    let (qualifier, field) = input.schema().qualified_field(index);
    if attributes::time_attribute(field).is_none() {
        let shown = crate::types::FlinkType::from_arrow(field.data_type());
        return Err(SqlError::new(
            SqlState::InvalidQuery,
            format!("The window function requires the timecol is a time attribute type, but is {shown}."),
        )
        .at(name.span.start)
        .with_hint("declare a WATERMARK for the column, or a computed column AS PROCTIME()")
        .into());
    }
    Ok(Expr::Column(Column::new(qualifier.cloned(), field.name())))
}

/// A constant interval without months, in microseconds.
fn interval_micros(value: Ast, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    let text = value.to_string();
    let empty = DFSchema::empty();
    let expr = context.sql_to_expr(value, &empty)?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    let array = bind(&expr, &empty)?.evaluate(&row)?.into_array(1)?;
    if array.data_type() != &DataType::Interval(IntervalUnit::MonthDayNano) || array.is_null(0) {
        return plan_err!("'{text}' is not an interval");
    }
    let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(0);
    if interval.months != 0 {
        return plan_err!("'{text}': a window cannot be measured in months");
    }
    Ok(i64::from(interval.days) * 86_400_000_000 + interval.nanoseconds / 1_000)
}
