//! The frame in which every scalar function runs: what it accepts, what it returns, and how it reaches its columns.
//!
//! A [`Function`] is a row of a table: a name, the kinds of its arguments, a rule for its result type and a plain
//! function over columns. The frame checks argument types (with Flink's phrase when they do not fit), converts each
//! argument to the one Arrow type that its kind stands for, and folds calls over constants only into one value.
//!
//! Invariants: `eval` returns an array of the result type with exactly [`Call::rows`] rows. A constant argument has
//! one row, which [`Column::get`] repeats.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Float64Array, Int64Array,
    PrimitiveArray, StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use chrono_tz::Tz;
use datafusion_common::{DataFusionError, Result, ScalarValue, internal_datafusion_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::environment::Environment;
use super::names::type_name;

/// What an argument may be, and the Arrow type in which the function sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Character strings; seen as Utf8.
    Text,
    /// Integers of any width; seen as Int64.
    Int,
    /// Any number; seen as Float64.
    Double,
    /// Any number, as it is.
    Number,
    /// BOOLEAN.
    Boolean,
    /// Binary strings; seen as Binary.
    Bytes,
    /// Text or binary, as it is.
    TextOrBytes,
    /// DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ, as it is.
    Temporal,
    /// An array, as it is.
    Array,
    /// A map, as it is.
    Map,
    /// Anything, as it is.
    Any,
}

impl Kind {
    fn accepts(self, data_type: &DataType) -> bool {
        match self {
            _ if data_type.is_null() => true,
            Kind::Text => matches!(data_type, DataType::Utf8),
            Kind::Int => data_type.is_integer(),
            Kind::Double | Kind::Number => data_type.is_numeric(),
            Kind::Boolean => matches!(data_type, DataType::Boolean),
            Kind::Bytes => matches!(data_type, DataType::Binary),
            Kind::TextOrBytes => matches!(data_type, DataType::Utf8 | DataType::Binary),
            Kind::Temporal => data_type.is_temporal() && !matches!(data_type, DataType::Interval(_)),
            Kind::Array => matches!(data_type, DataType::List(_)),
            Kind::Map => matches!(data_type, DataType::Map(_, _)),
            Kind::Any => true,
        }
    }

    /// The type in which the function sees an argument of type `data_type`.
    fn seen_as(self, data_type: &DataType) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::TextOrBytes if data_type.is_null() => DataType::Utf8,
            Kind::Int => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Boolean => DataType::Boolean,
            Kind::Bytes => DataType::Binary,
            _ => data_type.clone(),
        }
    }

    fn form(self) -> &'static str {
        match self {
            Kind::Text => "<CHARACTER_STRING>",
            Kind::Int => "<INTEGER_NUMERIC>",
            Kind::Double | Kind::Number => "<NUMERIC>",
            Kind::Boolean => "<BOOLEAN>",
            Kind::Bytes => "<BINARY_STRING>",
            Kind::TextOrBytes => "<STRING>",
            Kind::Temporal => "<DATETIME>",
            Kind::Array => "<ARRAY>",
            Kind::Map => "<MAP>",
            Kind::Any => "<ANY>",
        }
    }
}

/// When the result may be NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// When an argument may be.
    Strict,
    /// Always.
    Possible,
    /// Never.
    Never,
    /// Only when every argument may be.
    AllArguments,
}

/// What is known about the arguments when the result type is decided.
pub(crate) struct Inputs<'a> {
    /// Argument types.
    pub types: Vec<DataType>,
    /// Values of the arguments that are literals.
    pub constants: &'a [Option<&'a ScalarValue>],
}

impl Inputs<'_> {
    /// Argument `i` if it is an integer literal.
    pub fn constant_int(&self, i: usize) -> Option<i64> {
        match self.constants.get(i).copied().flatten()?.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(value) => value,
            _ => None,
        }
    }

    /// Argument `i` if it is a text literal.
    pub fn constant_text(&self, i: usize) -> Option<&str> {
        match self.constants.get(i).copied().flatten()? {
            ScalarValue::Utf8(Some(value)) => Some(value),
            _ => None,
        }
    }
}

/// Rule for a result type.
pub(crate) type Returns = fn(&Inputs<'_>) -> Result<DataType>;

/// A scalar function.
#[derive(Clone)]
pub(crate) struct Function {
    name: &'static str,
    kinds: &'static [Kind],
    optional: usize,
    repeated: bool,
    nulls: Nulls,
    volatility: Volatility,
    returns: Returns,
    eval: fn(&Call<'_>) -> Result<ArrayRef>,
}

impl Function {
    /// A function whose result is NULL only if an argument is.
    pub fn new(
        name: &'static str,
        kinds: &'static [Kind],
        returns: Returns,
        eval: fn(&Call<'_>) -> Result<ArrayRef>,
    ) -> Self {
        let (optional, repeated, nulls) = (0, false, Nulls::Strict);
        Function { name, kinds, optional, repeated, nulls, volatility: Volatility::Immutable, returns, eval }
    }

    /// The last `count` arguments may be left out.
    pub fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    /// The last argument may be repeated.
    pub fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }

    /// The result may be NULL even if no argument is.
    pub fn nullable(mut self) -> Self {
        self.nulls = Nulls::Possible;
        self
    }

    /// The result is never NULL.
    pub fn never_null(mut self) -> Self {
        self.nulls = Nulls::Never;
        self
    }

    /// The result is NULL only if every argument is.
    pub fn null_if_all_null(mut self) -> Self {
        self.nulls = Nulls::AllArguments;
        self
    }

    /// Each row and each call may give another value.
    pub fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    /// The same function under another name.
    pub fn named(&self, name: &'static str) -> Self {
        Function { name, ..self.clone() }
    }

    /// As DataFusion wants it, in the surroundings of a session.
    pub fn into_udf(self, environment: Environment) -> ScalarUDF {
        let any = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::VariadicAny]);
        let signature = Signature::new(any, self.volatility);
        ScalarUDF::new_from_impl(Udf { function: self, environment, signature })
    }

    fn kind(&self, i: usize) -> Kind {
        self.kinds.get(i).or(self.kinds.last()).copied().unwrap_or(Kind::Any)
    }

    fn check(&self, types: &[DataType]) -> Result<()> {
        let enough = types.len() + self.optional >= self.kinds.len();
        let few = types.len() <= self.kinds.len() || self.repeated;
        if enough && few && types.iter().enumerate().all(|(i, t)| self.kind(i).accepts(t)) {
            return Ok(());
        }
        let name = self.name.to_uppercase();
        let given: Vec<String> = types.iter().map(|t| format!("<{}>", type_name(t))).collect();
        let forms: Vec<&str> = self.kinds.iter().map(|k| k.form()).collect();
        let more = if self.repeated { "..." } else { "" };
        plan_err!(
            "Cannot apply '{name}' to arguments of type '{name}({})'. Supported form(s): '{name}({}{more})'",
            given.join(", "),
            forms.join(", ")
        )
    }
}

/// One evaluation of a function.
pub(crate) struct Call<'a> {
    args: Vec<(ArrayRef, bool)>,
    /// Rows to return.
    pub rows: usize,
    /// Type to return.
    pub result: &'a DataType,
    /// The session's time zone.
    pub zone: Tz,
    /// The session's clock and randomness.
    pub environment: &'a Environment,
}

/// A column of arguments; a constant one repeats its only row.
pub(crate) struct Column<A> {
    array: A,
    constant: bool,
}

impl<A: ArrayAccessor> Column<A> {
    /// The value in `row`, unless it is NULL.
    pub fn get(&self, row: usize) -> Option<A::Item> {
        let row = if self.constant { 0 } else { row };
        (!self.array.is_null(row)).then(|| self.array.value(row))
    }
}

impl Call<'_> {
    /// Number of arguments given.
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// The argument as it is: the array, and true if it is one row to be repeated.
    pub fn arg(&self, i: usize) -> Result<(&ArrayRef, bool)> {
        let (array, constant) = self.args.get(i).ok_or_else(|| internal_datafusion_err!("argument {i} is missing"))?;
        Ok((array, *constant))
    }

    /// The argument with [`Call::rows`] rows, constants spread out.
    pub fn spread(&self, i: usize) -> Result<ArrayRef> {
        let (array, constant) = self.arg(i)?;
        if constant && self.rows != 1 {
            return ScalarValue::try_from_array(array, 0)?.to_array_of_size(self.rows);
        }
        Ok(Arc::clone(array))
    }

    fn typed<A: Array + 'static>(&self, i: usize) -> Result<Column<&A>> {
        let (array, constant) = self.arg(i)?;
        match array.as_any().downcast_ref::<A>() {
            Some(array) => Ok(Column { array, constant }),
            None => Err(internal_datafusion_err!("argument {i} has the unexpected type {}", array.data_type())),
        }
    }

    /// A [`Kind::Text`] argument.
    pub fn text(&self, i: usize) -> Result<Column<&StringArray>> {
        self.typed(i)
    }

    /// A [`Kind::Int`] argument.
    pub fn int(&self, i: usize) -> Result<Column<&Int64Array>> {
        self.typed(i)
    }

    /// A [`Kind::Double`] argument.
    pub fn double(&self, i: usize) -> Result<Column<&Float64Array>> {
        self.typed(i)
    }

    /// A [`Kind::Boolean`] argument.
    pub fn boolean(&self, i: usize) -> Result<Column<&BooleanArray>> {
        self.typed(i)
    }

    /// A [`Kind::Bytes`] argument.
    pub fn bytes(&self, i: usize) -> Result<Column<&BinaryArray>> {
        self.typed(i)
    }

    /// An argument of a primitive Arrow type.
    pub fn primitive<T: ArrowPrimitiveType>(&self, i: usize) -> Result<Column<&PrimitiveArray<T>>> {
        self.typed(i)
    }

    /// Text of each row.
    pub fn texts<S: AsRef<str>>(&self, mut f: impl FnMut(usize) -> Result<Option<S>>) -> Result<ArrayRef> {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 16);
        for row in 0..self.rows {
            builder.append_option(f(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A truth value of each row.
    pub fn booleans(&self, f: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
        let values: BooleanArray = (0..self.rows).map(f).collect::<Result<_>>()?;
        Ok(Arc::new(values))
    }

    /// A number of each row, as Arrow type `T`; decimals, zones and the like are taken from the result type.
    pub fn numbers<T: ArrowPrimitiveType>(
        &self,
        f: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let values: PrimitiveArray<T> = (0..self.rows).map(f).collect::<Result<_>>()?;
        if values.data_type() == self.result {
            return Ok(Arc::new(values));
        }
        Ok(Arc::new(values.with_data_type(self.result.clone())))
    }

    /// Bytes of each row.
    pub fn byte_strings<B: AsRef<[u8]>>(&self, f: impl FnMut(usize) -> Result<Option<B>>) -> Result<ArrayRef> {
        let values: Vec<Option<B>> = (0..self.rows).map(f).collect::<Result<_>>()?;
        let values: BinaryArray = values.iter().map(|v| v.as_ref().map(AsRef::as_ref)).collect();
        Ok(Arc::new(values))
    }
}

struct Udf {
    function: Function,
    environment: Environment,
    signature: Signature,
}

impl fmt::Debug for Udf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function.name)
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && self.environment.zone == other.environment.zone
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.check(types)?;
        (self.function.returns)(&Inputs { types: types.to_vec(), constants: &[] })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        self.function.check(&types)?;
        let data_type = (self.function.returns)(&Inputs { types, constants: args.scalar_arguments })?;
        let nullable = match self.function.nulls {
            Nulls::Strict => args.arg_fields.iter().any(|f| f.is_nullable()),
            Nulls::Possible => true,
            Nulls::Never => false,
            Nulls::AllArguments => args.arg_fields.iter().all(|f| f.is_nullable()),
        };
        Ok(Arc::new(Field::new(self.name(), data_type, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let folded = self.function.volatility != Volatility::Volatile
            && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let null = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(scalar) if scalar.is_null());
        if self.function.nulls == Nulls::Strict && args.args.iter().any(null) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?));
        }
        let rows = if folded { 1 } else { args.number_rows };
        let columns = args.args.into_iter().enumerate().map(|(i, value)| {
            let (array, constant) = match value {
                ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
                ColumnarValue::Array(array) => (array, false),
            };
            let seen_as = self.function.kind(i).seen_as(array.data_type());
            if array.data_type() == &seen_as {
                return Ok((array, constant));
            }
            Ok((cast(&array, &seen_as)?, constant))
        });
        let args_columns = columns.collect::<Result<Vec<_>>>()?;
        let environment = &self.environment;
        let result = args.return_field.data_type();
        let call = Call { args: args_columns, rows, result, zone: environment.zone, environment };
        let array = (self.function.eval)(&call)?;
        if folded {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// An error in the data of a row, which stops the job.
pub(crate) fn data_error(message: impl Into<String>) -> DataFusionError {
    DataFusionError::Execution(message.into())
}
