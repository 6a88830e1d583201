//! How enrolments are carried from one server to another: JSON lines, one enrolment each. Pure.
//!
//! [`Record`] is one line. Reading is strict: a field that is not known, of another type or without sense is a [`Mistake`] with the field's name, since
//! what is silently left out of an enrolment is missed when the other server is gone. [`Intake`] reads a whole file and finds what contradicts itself
//! between its lines. Mistakes never repeat a value: it may be a secret.
//!
//! What becomes of a record that can be read is the store's to say ([`crate::store::Store::take_over`]). `docs/moving-in.md` tells people of each field.

mod fields;
mod intake;
mod read;
mod record;

#[cfg(test)]
mod tests;

pub use fields::FIELDS;
pub use intake::{Intake, Mistakes, Numbered};
pub use read::{LINE_LIMIT, Mistake};
pub use record::Record;
