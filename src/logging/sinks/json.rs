//! A record as a JSON object on a line of its own: `time`, `level`, `event`, `msg` and `module`, then the event's keys.

use serde_json::{Number, Value as Json};

use crate::logging::record::{Entry, Value, level_name, unquoted};

/// The line of a record.
pub(super) fn line(entry: &Entry) -> Vec<u8> {
    let mut line = vec![b'{'];
    let first = [
        ("time", entry.time()),
        ("level", level_name(entry.level).to_owned()),
        ("event", entry.event.clone()),
        ("msg", entry.message.clone()),
        ("module", entry.module.to_owned()),
    ];
    let first = first.map(|(key, text)| (key, Json::String(text)));
    let fields = entry.fields.iter().map(|(key, value)| (*key, json(value)));
    for (index, (key, value)) in first.into_iter().chain(fields).enumerate() {
        if index > 0 {
            line.push(b',');
        }
        // The display form of a JSON value is its text. A key of the code needs no escapes, but gets them.
        line.extend_from_slice(format!("{}:{value}", Json::from(key)).as_bytes());
    }
    line.extend_from_slice(b"}\n");
    line
}

fn json(value: &Value) -> Json {
    match value {
        Value::Unsigned(number) => Json::from(*number),
        Value::Signed(number) => Json::from(*number),
        // JSON has no infinity.
        Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Bool(value) => Json::from(*value),
        Value::Ids(ids) => Json::from(ids.clone()),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Quoted(text) => Json::from(unquoted(text)),
    }
}
