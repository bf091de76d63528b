//! Values that serde's derive reads with too poor an error.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Reads a quantity with its unit. A bare number, too, gets the unit's own error, which says how to write it.
pub(super) fn quantity<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Quantity<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Quantity<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a quantity with its unit, in quotes")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }

    deserializer.deserialize_any(Quantity(PhantomData))
}

/// Reads a quantity that may be left out.
pub(super) fn some_quantity<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    quantity(deserializer).map(Some)
}

/// How many services: one number, or one for each level of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)] // For writing and the schema; reading is by hand, for its error.
pub(crate) enum Counts {
    /// One number.
    One(#[schemars(range(min = 1, max = 50_000))] i64),
    /// The levels of a sweep.
    Sweep(#[schemars(length(min = 2), inner(range(min = 1, max = 50_000)))] Vec<i64>),
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Counts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a list of them for a sweep")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Counts, E> {
                Ok(Counts::One(number))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut levels: A) -> Result<Counts, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = levels.next_element()? {
                    numbers.push(number);
                }
                Ok(Counts::Sweep(numbers))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}
