//! Expressions in CEL (Common Expression Language) over reported data: checks of rules, members of groups.
//!
//! The `cel` crate reads the language; evaluation happens here, because policy needs what an interpreter for trusted
//! expressions does not give: a budget of steps, no panics, no copies of the data, and the path of what was *not reported*.
//! Absence is never read as false: a key that is not there makes the result [`Obstacle::NotReported`], unless the
//! rest of the expression decides without it (`false && …`, `true || …`), or `has()` asks for it.
//!
//! Supported: literals, lists, `.` and `[]`, arithmetic, comparison, `in`, `&&`, `||`, `!`, `?:`, `has`, `all`, `exists`,
//! `exists_one`, `map`, `filter`, `size`, `contains`, `startsWith`, `endsWith`, `matches` (with a written-out
//! pattern), `string`, `int`, `double`, and one addition: `versionCompare(a, b)`, −1, 0 or 1, which compares versions
//! number by number (`15.2 < 15.10`). Maps, messages and bytes are not. Numbers compare across types.

mod compile;
mod evaluate;
mod item;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::common::ast::IdedExpr;
use regex::Regex;

pub use evaluate::Obstacle;
pub use item::compare_versions;

/// The longest expression read, in bytes: as much as the resources allow.
pub const MAX_LENGTH: usize = 4096;
/// The most operators and brackets in one expression; real ones have a tenth.
pub const MAX_OPERATORS: usize = 400;
/// The most `?` in one expression.
pub const MAX_CHOICES: usize = 32;
/// The most signs (`-` and `!`) in front of one value: the parser's time doubles with each.
pub const MAX_SIGNS: usize = 4;
/// How deep brackets may nest.
pub const MAX_NESTING: usize = 24;
/// How deep an expression may nest, after macros are spread out.
pub const MAX_DEPTH: usize = 64;
/// How many steps one evaluation may take; a step is a part of the expression, or 64 bytes of text handled.
pub const MAX_STEPS: u32 = 20_000;

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Longer or deeper than any real one.
    #[error("the expression is too {what}: at most {maximum} are allowed")]
    TooLarge {
        /// Long, nested or full of operators.
        what: &'static str,
        /// What is allowed.
        maximum: usize,
    },
    /// Not CEL.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Counted from 1.
        line: isize,
        /// Counted from 1.
        column: isize,
        /// What was expected.
        message: String,
    },
    /// A variable that is not there.
    #[error("`{name}` is not known here; known are {known}{suggestion}")]
    UnknownVariable {
        /// The name used.
        name: String,
        /// The names known.
        known: String,
        /// A hint, or nothing.
        suggestion: String,
    },
    /// A function that is not there, or is called in another way.
    #[error("there is no function `{name}` of this form{suggestion}")]
    UnknownFunction {
        /// The name used.
        name: String,
        /// A hint, or nothing.
        suggestion: String,
    },
    /// A part of CEL that is not supported.
    #[error("{what} are not supported")]
    Unsupported {
        /// In the plural.
        what: &'static str,
    },
    /// A pattern that is no regular expression, or is too large.
    #[error("the pattern {pattern:?} is not a regular expression of reasonable size")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
}

/// A chain of keys that an expression reads, such as `SecurityInfo.FirewallSettings.StealthMode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The variable.
    pub root: String,
    /// Keys below it.
    pub keys: Vec<String>,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        for key in &self.keys {
            let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !key.starts_with(|c: char| c.is_ascii_digit());
            if plain {
                write!(f, ".{key}")?;
            } else {
                write!(f, "[{key:?}]")?;
            }
        }
        Ok(())
    }
}

/// A compiled expression.
pub struct Program {
    source: Arc<str>,
    root: IdedExpr,
    paths: Vec<Path>,
    patterns: HashMap<String, Regex>,
}

impl Program {
    /// Reads an expression that may use `variables` and nothing else.
    ///
    /// # Errors
    /// When it is not CEL, too large, or uses what is not known or not supported.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, CompileError> {
        compile::compile(source, variables)
    }

    /// The text it was made of.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it reads, in the order of the text, each once.
    #[must_use]
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Evaluates it. A known variable that is not among `variables` was not reported.
    ///
    /// # Errors
    /// When there is no truth value: something was not reported, the types do not fit, or it takes too long.
    pub fn evaluate(&self, variables: &[(&str, &serde_json::Value)]) -> Result<bool, Obstacle> {
        evaluate::evaluate(self, variables)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.source).finish()
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[cfg(test)]
mod tests;
