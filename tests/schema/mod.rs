//! Holds JSON to a schema (JSON Schema 2020-12), as far as ours go: a keyword that is not known
//! here is an error, so that none is passed over.

use serde_json::{Map, Value};

/// Keywords that say something to people only.
const ANNOTATIONS: [&str; 5] = ["$schema", "$defs", "title", "description", "default"];

/// All that is wrong with `value`, each with the place where it is.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    check(schema, schema, value, "", &mut wrong);
    wrong
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = schema.as_object().expect("a schema is an object");
    for (keyword, rule) in schema {
        let holds = match keyword.as_str() {
            "$ref" => {
                let path = rule.as_str().and_then(|to| to.strip_prefix('#'));
                let there = path.and_then(|path| root.pointer(path));
                let there = there.unwrap_or_else(|| panic!("no schema at {rule}"));
                check(root, there, value, at, wrong);
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|of| is(of, value)),
                one => is(one, value),
            },
            "const" => rule == value,
            "enum" => array(rule).contains(value),
            "minimum" => number(value).is_none_or(|value| value >= number(rule).expect("a number")),
            "maximum" => number(value).is_none_or(|value| value <= number(rule).expect("a number")),
            "anyOf" => array(rule).iter().any(|one| {
                let mut inside = Vec::new();
                check(root, one, value, at, &mut inside);
                inside.is_empty()
            }),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}/{index}"), wrong);
                }
                true
            }
            "required" => {
                let names = array(rule).iter().filter_map(Value::as_str);
                let object = value.as_object();
                names.into_iter().all(|name| {
                    let there = object.is_none_or(|object| object.contains_key(name));
                    if !there {
                        wrong.push(format!("{at}: {name} is missing"));
                    }
                    there
                })
            }
            "properties" | "additionalProperties" => {
                properties(root, schema, value, at, wrong);
                true
            }
            known if ANNOTATIONS.contains(&known) => true,
            other => panic!("the keyword {other} is not known here"),
        };
        if !holds {
            wrong.push(format!("{at}: {value} breaks {keyword} {rule}"));
        }
    }
}

fn properties(
    root: &Value,
    schema: &Map<String, Value>,
    value: &Value,
    at: &str,
    wrong: &mut Vec<String>,
) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        let named = schema.get("properties").and_then(|known| known.get(name));
        match (named, schema.get("additionalProperties")) {
            (Some(schema), _) => check(root, schema, value, &at, wrong),
            (None, Some(Value::Bool(false))) => wrong.push(format!("{at} is not in the schema")),
            (None, Some(others)) if others.is_object() => check(root, others, value, &at, wrong),
            (None, _) => {}
        }
    }
}

fn is(of: &Value, value: &Value) -> bool {
    match of.as_str().expect("a type's name") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}
