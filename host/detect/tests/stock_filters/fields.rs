//! What the fields mean in a filter of JSON entries, read as the daemon does.

use stockade_config::{ConfigFile, FieldRule, FieldValue, JsonSettings, Located, load_filter};
use stockade_detect::{Condition, Expected, JsonFields};

/// The fields of the filter in the file `path` with this text; `None` for a filter of text.
pub(crate) fn of(path: &str, text: &str) -> Option<JsonFields> {
    let loaded = load_filter(&ConfigFile {
        path: path.to_owned(),
        bytes: text.as_bytes().to_vec(),
    });
    let said: String = loaded.diagnostics.iter().map(|d| d.render()).collect();
    assert_eq!(said, "");
    loaded.filter.unwrap().json.as_ref().map(fields)
}

fn fields(json: &JsonSettings) -> JsonFields {
    let text = |located: &Located<String>| located.value.clone();
    JsonFields {
        id: json.id.iter().map(text).collect(),
        user: json.user.as_ref().map(text),
        time: json.time.as_ref().map(text),
        failure: json.failure.iter().map(conditions).collect(),
        ignore: json.ignore.iter().map(conditions).collect(),
    }
}

fn conditions(rule: &FieldRule) -> Vec<Condition> {
    let conditions = rule.conditions.iter().map(|condition| Condition {
        field: condition.field.value.clone(),
        any: condition.any.iter().map(|v| expected(&v.value)).collect(),
    });
    conditions.collect()
}

fn expected(value: &FieldValue) -> Expected {
    match value {
        FieldValue::Text(text) => Expected::Text(text.clone()),
        FieldValue::Number(number) => Expected::Number(*number),
        FieldValue::Between(from, to) => Expected::Between(*from, *to),
        FieldValue::Boolean(value) => Expected::Boolean(*value),
        FieldValue::Pattern(text) => Expected::Pattern(text.clone()),
    }
}
