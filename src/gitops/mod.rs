//! From a git repository to objects ready to apply: [`fetch`], [`read`].
pub mod fetch;
