//! What an editor makes of the schema.

use serde_json::Value;

/// Reads a value against our schema: enough of JSON Schema for what our schema uses.
pub fn fits(schema: &Value, value: &Value) -> bool {
    let all = |map: &serde_json::Map<String, Value>| {
        map.iter().all(|(key, inner)| {
            let declared = schema.pointer(&format!("/properties/{}", key.replace('/', "~1")));
            match (declared, &schema["additionalProperties"]) {
                (Some(declared), _) => fits(declared, inner),
                (None, _) if key.starts_with("x-") && schema.get("patternProperties").is_some() => true,
                (None, Value::Bool(more)) => *more,
                (None, Value::Null) => true,
                (None, more) => fits(more, inner),
            }
        })
    };
    let of_type = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => panic!("an unknown type: {name}"),
    };
    let types = match &schema["type"] {
        Value::Null => true,
        Value::Array(types) => types.iter().any(of_type),
        one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => of_type(one),
    };
    let any_of = schema
        .get("anyOf")
        .and_then(Value::as_array)
        .is_none_or(|choices| choices.iter().any(|one| fits(one, value)));
    let one_of_words = schema.get("enum").and_then(Value::as_array).is_none_or(|words| words.contains(value));
    // Patterns are for editors; a text with one counts as fitting only where nothing else is said.
    let pattern = schema.get("pattern").is_none() || schema["enum"].is_null();
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let required = required.map(|name| name.as_str().expect("names")).all(|name| value.get(name).is_some());
    let items = schema
        .get("items")
        .is_none_or(|inner| value.as_array().is_none_or(|items| items.iter().all(|item| fits(inner, item))));
    types && any_of && one_of_words && pattern && required && items && value.as_object().is_none_or(all)
}
