//! Mathematical functions over DOUBLE, signs and absolute values of any number, random numbers, number bases.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion_common::Result;
use rand::{Rng, SeedableRng};

use super::call::{Call, Function, Inputs, Kind};
use super::decimal::power;
use super::returns;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const D: &[Kind] = &[Kind::Double];
    const DD: &[Kind] = &[Kind::Double, Kind::Double];
    macro_rules! one {
        ($name:literal, $f:expr) => {
            Function::new($name, D, returns::double, |call| unary(call, $f))
        };
    }
    macro_rules! two {
        ($name:literal, $f:expr) => {
            Function::new($name, DD, returns::double, |call| binary(call, $f))
        };
    }
    let constant = |name, eval| Function::new(name, &[], returns::double, eval).never_null();
    vec![
        one!("sqrt", f64::sqrt),
        one!("exp", f64::exp),
        one!("ln", f64::ln),
        one!("log10", f64::log10),
        one!("log2", f64::log2),
        one!("sin", f64::sin),
        one!("cos", f64::cos),
        one!("tan", f64::tan),
        one!("cot", |x: f64| 1.0 / x.tan()),
        one!("asin", f64::asin),
        one!("acos", f64::acos),
        one!("atan", f64::atan),
        one!("sinh", f64::sinh),
        one!("cosh", f64::cosh),
        one!("tanh", f64::tanh),
        one!("degrees", f64::to_degrees),
        one!("radians", f64::to_radians),
        two!("power", f64::powf),
        two!("atan2", f64::atan2),
        Function::new("log", DD, returns::double, log).optional(1),
        Function::new("abs", &[Kind::Number], returns::same_as_first, abs),
        Function::new("sign", &[Kind::Number], returns::same_as_first, sign),
        constant("pi", |call| fixed(call, std::f64::consts::PI)),
        constant("e", |call| fixed(call, std::f64::consts::E)),
        Function::new("rand", &[Kind::Int], returns::double, random).optional(1).volatile(),
        Function::new("rand_integer", &[Kind::Int, Kind::Int], returns::int, random_integer).optional(1).volatile(),
        Function::new("uuid", &[], returns::text, uuid).volatile().never_null(),
        Function::new("bin", &[Kind::Int], returns::text, bin),
        Function::new("hex", &[Kind::Any], hex_type, hex),
    ]
}

fn unary(call: &Call<'_>, f: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let x = call.double(0)?;
    call.numbers::<Float64Type>(|row| Ok(x.get(row).map(&f)))
}

fn binary(call: &Call<'_>, f: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (x, y) = (call.double(0)?, call.double(1)?);
    call.numbers::<Float64Type>(|row| Ok(x.get(row).zip(y.get(row)).map(|(x, y)| f(x, y))))
}

fn fixed(call: &Call<'_>, value: f64) -> Result<ArrayRef> {
    call.numbers::<Float64Type>(|_| Ok(Some(value)))
}

/// `LOG(x)` is natural, `LOG(base, x)` takes its base first.
fn log(call: &Call<'_>) -> Result<ArrayRef> {
    if call.len() == 1 { unary(call, f64::ln) } else { binary(call, |base, x| x.ln() / base.ln()) }
}

/// A function of any number type that keeps the type.
macro_rules! keeping_type {
    ($call:expr, $int:expr, $double:expr, $decimal:expr) => {{
        let call = $call;
        let (array, _) = call.arg(0)?;
        match array.data_type() {
            DataType::Int8 => each::<Int8Type>(call, $int),
            DataType::Int16 => each::<Int16Type>(call, $int),
            DataType::Int32 => each::<Int32Type>(call, $int),
            DataType::Int64 => each::<Int64Type>(call, $int),
            DataType::Float32 => each::<Float32Type>(call, $double),
            DataType::Float64 => each::<Float64Type>(call, $double),
            _ => each::<Decimal128Type>(call, $decimal),
        }
    }};
}

fn each<T: arrow::datatypes::ArrowPrimitiveType>(
    call: &Call<'_>,
    f: impl Fn(T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let values = call.primitive::<T>(0)?;
    call.numbers::<T>(|row| Ok(values.get(row).map(&f)))
}

/// Wraps: the smallest integer stays as it is.
fn abs(call: &Call<'_>) -> Result<ArrayRef> {
    keeping_type!(call, |x| x.wrapping_abs(), |x| x.abs(), |x: i128| x.abs())
}

fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    let unit = match call.result {
        DataType::Decimal128(_, scale) => power(i32::from(*scale)).unwrap_or(1),
        _ => 1,
    };
    keeping_type!(call, |x| x.signum(), |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }, |x: i128| x.signum()
        * unit)
}

/// A seed makes the sequence repeatable.
fn random(call: &Call<'_>) -> Result<ArrayRef> {
    let mut rng = generator(call, 1)?;
    call.numbers::<Float64Type>(|_| Ok(Some(rng.random())))
}

fn random_integer(call: &Call<'_>) -> Result<ArrayRef> {
    let mut rng = generator(call, 2)?;
    let bound = call.int(call.len() - 1)?;
    call.numbers::<Int32Type>(|row| {
        let bound = bound.get(row).and_then(|b| i32::try_from(b).ok()).filter(|b| *b > 0);
        Ok(bound.map(|bound| rng.random_range(0..bound)))
    })
}

fn generator(call: &Call<'_>, seeded_length: usize) -> Result<rand::rngs::StdRng> {
    let seed = if call.len() == seeded_length { call.int(0)?.get(0) } else { None };
    Ok(match seed {
        Some(seed) => rand::rngs::StdRng::seed_from_u64(seed.cast_unsigned()),
        None => call.environment.random.generator(),
    })
}

fn uuid(call: &Call<'_>) -> Result<ArrayRef> {
    let mut rng = call.environment.random.generator();
    call.texts(|_| {
        let bits = (rng.random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        Ok(Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")))
    })
}

fn bin(call: &Call<'_>) -> Result<ArrayRef> {
    let x = call.int(0)?;
    call.texts(|row| Ok(x.get(row).map(|x| format!("{x:b}"))))
}

fn hex_type(inputs: &Inputs<'_>) -> Result<DataType> {
    match inputs.types.first() {
        Some(t) if t.is_integer() || matches!(t, DataType::Utf8 | DataType::Null) => Ok(DataType::Utf8),
        other => datafusion_common::plan_err!(
            "Cannot apply 'HEX' to arguments of type 'HEX(<{}>)'. Supported form(s): 'HEX(<INTEGER>)', 'HEX(<CHARACTER>)'",
            other.map(super::names::type_name).unwrap_or_default()
        ),
    }
}

/// Of an integer its digits to base 16, of a text those of its bytes.
fn hex(call: &Call<'_>) -> Result<ArrayRef> {
    let value = call.spread(0)?;
    if value.data_type() == &DataType::Utf8 {
        let texts = value.as_string::<i32>();
        let hex = |text: &str| text.bytes().map(|b| format!("{b:02X}")).collect::<String>();
        return call.texts(|row| Ok(arrow::array::Array::is_valid(texts, row).then(|| hex(texts.value(row)))));
    }
    let wide = arrow::compute::cast(&value, &DataType::Int64)?;
    let wide = wide.as_primitive::<Int64Type>();
    call.texts(|row| Ok(arrow::array::Array::is_valid(wide, row).then(|| format!("{:X}", wide.value(row)))))
}
