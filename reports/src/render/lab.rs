//! A lab as it stands, as text and as a picture.
//!
//! Both show what was read back, never what was meant: namespaces with their devices, addresses, routes, rules and
//! attached programs, and by name what the lab made and is not there any more.

mod boxes;
mod drawing;
mod sheet;
mod text;
mod words;

pub use self::drawing::picture;
pub use self::text::text;
