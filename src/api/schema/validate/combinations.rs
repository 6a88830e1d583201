//! `allOf`, `anyOf`, `oneOf` and `not`.

use serde_json::Value;

use super::super::error::go_quote;
use super::{FieldError, Node, Outcome, Path, check_node};

pub(super) fn check(value: &Value, node: &Node, at: &Path<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    if !node.any_of.is_empty() {
        outcome.merge(check_any_of(value, node, at));
    }
    if !node.one_of.is_empty() {
        outcome.merge(check_one_of(value, node, at));
    }
    if !node.all_of.is_empty() {
        outcome.merge(check_all_of(value, node, at));
    }
    if let Some(not) = &node.not
        && check_node(value, None, not, at).errors.is_empty()
    {
        outcome
            .errors
            .push(combination_error(at, "must not validate the schema (not)"));
    }
    outcome
}

fn check_any_of(value: &Value, node: &Node, at: &Path<'_>) -> Outcome {
    let mut best: Option<Outcome> = None;
    for branch in &node.any_of {
        let result = check_node(value, None, branch, at);
        if result.errors.is_empty() {
            return result;
        }
        if best.as_ref().is_none_or(|best| result.matches > best.matches) {
            best = Some(result);
        }
    }
    let mut outcome = Outcome::default();
    outcome
        .errors
        .push(combination_error(at, "must validate at least one schema (anyOf)"));
    outcome.merge(best.unwrap_or_default());
    outcome
}

fn check_one_of(value: &Value, node: &Node, at: &Path<'_>) -> Outcome {
    let mut best: Option<Outcome> = None;
    let mut success: Option<Outcome> = None;
    let mut valid = 0_usize;
    for branch in &node.one_of {
        let result = check_node(value, None, branch, at);
        if result.errors.is_empty() {
            valid += 1;
            best = None;
            success.get_or_insert(result);
        } else if valid == 0 && best.as_ref().is_none_or(|best| result.matches > best.matches) {
            best = Some(result);
        }
    }
    if valid == 1 {
        return success.unwrap_or_default();
    }
    let found = if valid == 0 {
        "Found none valid".to_owned()
    } else {
        format!("Found {valid} valid alternatives")
    };
    let mut outcome = Outcome::default();
    let text = format!("must validate one and only one schema (oneOf). {found}");
    outcome.errors.push(combination_error(at, &text));
    outcome.merge(best.unwrap_or_default());
    outcome
}

fn check_all_of(value: &Value, node: &Node, at: &Path<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut valid = 0_usize;
    for branch in &node.all_of {
        let result = check_node(value, None, branch, at);
        valid += usize::from(result.errors.is_empty());
        outcome.merge(result);
    }
    if valid != node.all_of.len() {
        let remark = if valid == 0 { ". None validated" } else { "" };
        let text = format!("must validate all the schemas (allOf){remark}");
        outcome.errors.push(combination_error(at, &text));
    }
    outcome
}

fn combination_error(at: &Path<'_>, text: &str) -> FieldError {
    FieldError::of_object(&format!("{} {text}", go_quote(&at.to_string())))
}
