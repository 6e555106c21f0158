//! The table of keys as a JSON Schema, for editors.

use serde_json::{Map, Value, json};

use super::keys::{Grammar, ROOT, Row, Shape};

/// The schema (draft 7) of the files that this version reads, with a description of every key.
///
/// It is as strict as the loader about keys, and looser about values: a variable may stand wherever a value may.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = shape(&ROOT);
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("$id".to_owned(), json!("urn:aiplat:v1:platform"));
    schema.insert("title".to_owned(), json!("aiplat platform, aiplat/v1"));
    schema.insert("required".to_owned(), json!(["apiVersion", "services"]));
    Value::Object(schema)
}

fn shape(shape: &'static Shape) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in shape.keys {
        match &key.row {
            Row::Supported { grammar: inner, doc } => {
                let mut inner = grammar(*inner);
                inner.insert("description".to_owned(), json!(doc));
                properties.insert(key.name.to_owned(), Value::Object(inner));
            }
            Row::Ignored { reason } => {
                let doc = format!("Without effect: {reason}.");
                properties.insert(key.name.to_owned(), json!({"description": doc, "deprecated": true}));
            }
            Row::Later { .. } | Row::Refused { .. } => {}
        }
    }
    object(json!({
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": {}},
        "additionalProperties": false,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

const VARIABLE: &str = r"\$";

fn grammar(of: Grammar) -> Map<String, Value> {
    let inner = |of: &'static Grammar| Value::Object(grammar(*of));
    object(match of {
        Grammar::Text => json!({"type": "string"}),
        Grammar::Scalar => json!({"type": ["string", "number"]}),
        Grammar::Anything => json!({"type": ["string", "number", "boolean", "null"]}),
        Grammar::Flag => {
            json!({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": format!("^(true|false)$|{VARIABLE}")}]})
        }
        Grammar::Integer => {
            json!({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": format!("^-?[0-9]+$|{VARIABLE}")}]})
        }
        Grammar::Number => {
            json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": format!(r"^[0-9]*\.?[0-9]+$|{VARIABLE}")}]})
        }
        Grammar::Duration => json!({
            "type": ["string", "integer"],
            "pattern": format!(r"^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d|w))+)$|{VARIABLE}"),
            "examples": ["10s", "1m30s", "500ms"],
        }),
        Grammar::Size => json!({
            "type": ["string", "integer"],
            "pattern": format!(r"^[0-9]+(\.[0-9]+)? ?([bB]|[kKmMgGtTpP]([iI]?[bB])?)?$|{VARIABLE}"),
            "examples": ["512m", "1.5g"],
        }),
        Grammar::Nothing => json!({"type": "null"}),
        Grammar::OneOf(words) => json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": VARIABLE}]}),
        Grammar::List(of) => json!({"type": "array", "items": inner(of)}),
        Grammar::Named(of) => json!({"type": "object", "additionalProperties": inner(of)}),
        Grammar::Shape(of) => Value::Object(shape(of)),
        Grammar::Either(choices) => {
            json!({"anyOf": choices.iter().map(|choice| Value::Object(grammar(*choice))).collect::<Vec<_>>()})
        }
    })
}
