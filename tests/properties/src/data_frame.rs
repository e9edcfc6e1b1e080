//! What a client sends on a data channel: any bytes in; a frame whose data is passed on unchanged, or
//! an error.

use serde_json::Value;
use tercet_protocol::{DATA_BYTES_MAX, DataFrameIn, DataFrameOut};

/// Equal, but for the last bit of a fraction: serde_json reads numbers to within one unit in the last place.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            a == b || a.to_bits().abs_diff(b.to_bits()) <= 1
        }
        _ => a == b,
    }
}

/// Panics where it doesn't hold.
pub fn check(bytes: &[u8]) {
    if bytes.len() > DATA_BYTES_MAX {
        return;
    }
    let Ok(frame) = serde_json::from_slice::<DataFrameIn>(bytes) else { return };
    let written = serde_json::to_vec(&frame).expect("a frame is JSON");
    let read: DataFrameIn = serde_json::from_slice(&written).expect("what we write, we read");
    assert!(read.to == frame.to && same(&read.data, &frame.data), "{read:?} was {frame:?}");
    let passed_on = DataFrameOut { from: "ada".to_owned(), data: frame.data };
    let written = serde_json::to_vec(&passed_on).expect("a frame is JSON");
    let read: DataFrameOut = serde_json::from_slice(&written).expect("what we write, others read");
    assert!(read.from == passed_on.from && same(&read.data, &passed_on.data), "{read:?} was {passed_on:?}");
}
