//! What Apple's schema says of a payload or declaration of a rule: asked of whoever knows the schema.

use serde_json::{Map, Value};

use super::tree::System;

/// One piece of content to judge.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// True for a declaration, false for a payload of a profile.
    pub is_declaration: bool,
    /// Apple's declaration or payload type.
    pub type_: &'a str,
    /// The content: for a declaration its `Payload`.
    pub content: &'a Map<String, Value>,
    /// The system that it is for.
    pub system: System,
    /// The version of it, such as `26.0`.
    pub version: &'a str,
}

/// What the schema holds against a piece of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key in the content, such as `Apps.Mail`; empty where it is about all of it.
    pub path: String,
    /// What is wrong, for people.
    pub message: String,
    /// Whether the content must not be served.
    pub refuses: bool,
}

/// Whoever knows Apple's schema: the problems of a piece of content.
pub type Check<'c> = dyn Fn(&Subject<'_>) -> Vec<Problem> + 'c;
