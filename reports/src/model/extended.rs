//! JSON for numbers that can be infinite: JSON has no infinity, and a lost reply is one.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number, or the word `"infinite"` or `"-infinite"`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Extended {
    /// A finite number.
    Finite(f64),
    /// Beyond every number.
    Infinite(Side),
}

/// The end of the number line.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Side {
    /// Larger than every number.
    #[serde(rename = "infinite")]
    Above,
    /// Smaller than every number.
    #[serde(rename = "-infinite")]
    Below,
}

/// Writes a number that may be infinite.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let extended = if value.is_finite() {
        Extended::Finite(*value)
    } else if *value < 0.0 {
        Extended::Infinite(Side::Below)
    } else {
        Extended::Infinite(Side::Above)
    };
    extended.serialize(serializer)
}

/// Reads a number that may be infinite.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(match Extended::deserialize(deserializer)? {
        Extended::Finite(value) => value,
        Extended::Infinite(Side::Above) => f64::INFINITY,
        Extended::Infinite(Side::Below) => f64::NEG_INFINITY,
    })
}
