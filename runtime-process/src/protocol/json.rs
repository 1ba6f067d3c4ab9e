//! JSON as protobuf's `Struct` and back. Every number on the wire is a double: see [`value`] and [`number`].

use prost_types::{ListValue, NullValue, Struct, Value as Wire, value::Kind};
use serde_json::{Map, Number, Value};

/// Largest integer up to which every integer is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A JSON object as a `Struct`. Integers beyond 2⁵³ lose their last digits: the wire has no other number.
pub(crate) fn to_struct(object: Map<String, Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(k, v)| (k, to_wire(v))).collect() }
}

fn to_wire(value: Value) -> Wire {
    let kind = match value {
        Value::Null => Kind::NullValue(NullValue::NullValue.into()),
        Value::Bool(b) => Kind::BoolValue(b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        Value::String(s) => Kind::StringValue(s),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(to_wire).collect() }),
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    Wire { kind: Some(kind) }
}

/// A `Struct` as a JSON object.
pub(crate) fn object(message: Struct) -> Map<String, Value> {
    message.fields.into_iter().map(|(k, v)| (k, value(v))).collect()
}

/// A `Value` as JSON; one without a kind is null.
pub(crate) fn value(message: Wire) -> Value {
    match message.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(b),
        Some(Kind::NumberValue(n)) => number(n),
        Some(Kind::StringValue(s)) => Value::String(s),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(value).collect()),
        Some(Kind::StructValue(message)) => Value::Object(object(message)),
    }
}

/// A whole number comes out as an integer, as the app most likely meant it; infinities and NaN, which JSON does not
/// know, as null.
fn number(n: f64) -> Value {
    if n.fract() == 0.0 && n.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number within 2⁵³")]
        return Value::Number((n as i64).into());
    }
    Number::from_f64(n).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn survives_the_wire_but_for_the_digits_a_double_lacks() {
        for (sent, back) in [
            (json!({"a": [1, -2.5, "x", null, true, {"b": {}}]}), json!({"a": [1, -2.5, "x", null, true, {"b": {}}]})),
            (json!({"n": 9_007_199_254_740_993_i64}), json!({"n": 9_007_199_254_740_992_i64})),
            (json!({"n": 1e300}), json!({"n": 1e300})),
        ] {
            let Value::Object(map) = sent else { panic!() };
            assert_eq!(Value::Object(object(to_struct(map))), back);
        }
        assert_eq!((number(f64::NAN), number(-0.0)), (Value::Null, json!(0)));
    }
}
