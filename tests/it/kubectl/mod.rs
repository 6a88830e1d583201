//! An unmodified kubectl: what people see through it, and that it cannot tell the embedded API from a real one.
//!
//! The comparisons are data: `scenarios/*.txt`, read by [`scenario`], run on both APIs by [`compare`], and compared after what must
//! differ has been blanked out by [`normal`].

mod compare;
mod normal;
mod scenario;
mod stories;
