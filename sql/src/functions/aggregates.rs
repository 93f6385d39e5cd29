//! The aggregate functions as DataFusion's planner sees them: names, arguments and Flink's result types.
//!
//! In a continuous query DataFusion never runs them: the planner lowers a call to [`AggregateFunction`] of the engine. In a
//! finite one it does, through `accumulate`.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, TypeSignature, Volatility,
};
use eddyline_engine::aggregate::{AggregateFunction, return_type};

use super::accumulate::{Groups, Recipe, Single};

const NAMES: &[(&str, AggregateFunction)] = &[
    ("count", AggregateFunction::Count),
    ("sum", AggregateFunction::Sum),
    ("avg", AggregateFunction::Avg),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
    ("first_value", AggregateFunction::FirstValue),
    ("last_value", AggregateFunction::LastValue),
    ("listagg", AggregateFunction::ListAgg),
    ("collect", AggregateFunction::Collect),
    ("array_agg", AggregateFunction::ArrayAgg),
    ("stddev_pop", AggregateFunction::StddevPop),
    ("stddev_samp", AggregateFunction::StddevSamp),
    ("stddev", AggregateFunction::StddevSamp),
    ("var_pop", AggregateFunction::VarPop),
    ("var_samp", AggregateFunction::VarSamp),
    ("variance", AggregateFunction::VarSamp),
    ("single_value", AggregateFunction::SingleValue),
    ("json_arrayagg", AggregateFunction::JsonArrayAgg),
    ("json_arrayagg_null_on_null", AggregateFunction::JsonArrayAggNullOnNull),
    ("json_objectagg", AggregateFunction::JsonObjectAgg),
    ("json_objectagg_absent_on_null", AggregateFunction::JsonObjectAggAbsentOnNull),
];

/// All aggregate functions by lower-case name.
pub fn aggregate_functions() -> HashMap<String, Arc<AggregateUDF>> {
    let udf = |(name, function): &(&'static str, AggregateFunction)| {
        let any = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::VariadicAny]);
        let signature = Signature::new(any, Volatility::Immutable);
        let aggregate = Aggregate { name, function: *function, signature };
        ((*name).to_string(), Arc::new(AggregateUDF::new_from_impl(aggregate)))
    };
    NAMES.iter().map(udf).collect()
}

/// The engine's function of this name, in any case.
pub fn aggregate_function(name: &str) -> Option<AggregateFunction> {
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, function)| *function)
}

/// The name of `function` in SQL, in capitals.
pub fn function_name(function: AggregateFunction) -> String {
    NAMES.iter().find(|(_, known)| *known == function).map(|(name, _)| name.to_uppercase()).unwrap_or_default()
}

#[derive(Debug)]
struct Aggregate {
    name: &'static str,
    function: AggregateFunction,
    signature: Signature,
}

impl Aggregate {
    fn recipe(&self, args: &AccumulatorArgs<'_>) -> Recipe {
        Recipe::new(self.function, args.is_distinct, Arc::clone(&args.return_field), args.expr_fields)
    }
}

impl PartialEq for Aggregate {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Aggregate {}

impl Hash for Aggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        return_type(self.function, types).map_err(|error| DataFusionError::Plan(error.to_string()))
    }

    fn is_nullable(&self) -> bool {
        !matches!(
            self.function,
            AggregateFunction::Count
                | AggregateFunction::JsonArrayAgg
                | AggregateFunction::JsonArrayAggNullOnNull
                | AggregateFunction::JsonObjectAgg
                | AggregateFunction::JsonObjectAggAbsentOnNull
        )
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        if self.function == AggregateFunction::Count {
            return Ok(ScalarValue::Int64(Some(0)));
        }
        ScalarValue::try_from(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let fields =
            Recipe::new(self.function, args.is_distinct, args.return_field, args.input_fields).state_fields()?;
        let named = |field: &FieldRef| {
            Arc::new(field.as_ref().clone().with_name(format!("{}[{}]", args.name, field.name())).with_nullable(true))
        };
        Ok(fields.iter().map(named).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single::new(self.recipe(&args))?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single::new(self.recipe(&args).sliding())?))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups::new(self.recipe(&args))?))
    }
}
