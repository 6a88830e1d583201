//! Activation predicates: a reading of the part of Apple's predicate language that servers send.
//!
//! Comparisons (`==`, `!=`, `<`, `<=`, `>`, `>=`, `IN`, `BEGINSWITH`, `ENDSWITH`, `CONTAINS`, with `[c]` for "whatever
//! the case"), `AND`, `OR`, `NOT`, parentheses, `TRUEPREDICATE` and `FALSEPREDICATE` over `@status(item)`,
//! `@property(name)`, strings, numbers, booleans, `NULL` and `{lists}`. Everything else (`ANY`, `SUBQUERY`, `MATCHES`, key paths,
//! functions) is refused with its place; it is never guessed at.
//!
//! As in `NSPredicate`, strings compare by their characters: `'9' > '10'` holds. A missing item is `NULL`, which equals
//! only `NULL` and orders with nothing.
//!
//! Specification: Apple, "Predicate Programming Guide", and `com.apple.activation.simple`.

use std::cmp::Ordering;

use serde_json::Value;

/// The longest predicate that is read.
const MAX_LENGTH: usize = 8 * 1024;
/// How deep parentheses and `NOT` may nest.
const MAX_DEPTH: usize = 32;

/// Where a predicate's values come from.
pub(super) trait Facts {
    /// The status item at `path`, if the device has it.
    fn status(&self, path: &str) -> Option<Value>;
    /// The property `name` of `com.apple.management.properties`, if the server has set it.
    fn property(&self, name: &str) -> Option<Value>;
}

/// Why a predicate has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{expected} expected at character {at}")]
pub(super) struct PredicateError {
    expected: &'static str,
    at: usize,
}

/// The value of `predicate` over `facts`.
pub(super) fn evaluate(predicate: &str, facts: &dyn Facts) -> Result<bool, PredicateError> {
    let mut parser = Parser {
        text: predicate,
        at: 0,
        depth: 0,
        facts,
    };
    if predicate.len() > MAX_LENGTH {
        return Err(parser.expected("a shorter predicate"));
    }
    let value = parser.either()?;
    parser.blanks();
    if parser.at < predicate.len() {
        return Err(parser.expected("AND, OR or the end"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    facts: &'a dyn Facts,
}

#[derive(Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    BeginsWith,
    EndsWith,
    Contains,
}

/// Longest first where one begins with another.
const SYMBOLS: &[(&str, Operator)] = &[
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<>", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

const WORDS: &[(&str, Operator)] = &[
    ("IN", Operator::In),
    ("BEGINSWITH", Operator::BeginsWith),
    ("ENDSWITH", Operator::EndsWith),
    ("CONTAINS", Operator::Contains),
];

impl<'a> Parser<'a> {
    const fn expected(&self, expected: &'static str) -> PredicateError {
        PredicateError {
            expected,
            at: self.at,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// A word of the language, in any case, that does not run on into a longer one.
    fn word(&mut self, word: &str) -> bool {
        self.blanks();
        let rest = self.rest();
        let found = rest
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !rest
                .get(word.len()..)
                .unwrap_or_default()
                .starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if found {
            self.at += word.len();
        }
        found
    }

    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, PredicateError>,
    ) -> Result<T, PredicateError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.expected("less nesting"));
        }
        self.depth += 1;
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn either(&mut self) -> Result<bool, PredicateError> {
        let mut value = self.both()?;
        while self.word("OR") || self.symbol("||") {
            value |= self.both()?;
        }
        Ok(value)
    }

    fn both(&mut self) -> Result<bool, PredicateError> {
        let mut value = self.single()?;
        while self.word("AND") || self.symbol("&&") {
            value &= self.single()?;
        }
        Ok(value)
    }

    fn single(&mut self) -> Result<bool, PredicateError> {
        self.blanks();
        let negates = self.word("NOT") || (!self.rest().starts_with("!=") && self.symbol("!"));
        if negates {
            return self.nested(|parser| Ok(!parser.single()?));
        }
        if self.word("TRUEPREDICATE") {
            return Ok(true);
        }
        if self.word("FALSEPREDICATE") {
            return Ok(false);
        }
        if self.symbol("(") {
            let value = self.nested(Self::either)?;
            return if self.symbol(")") {
                Ok(value)
            } else {
                Err(self.expected("`)`"))
            };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<bool, PredicateError> {
        let left = self.operand()?;
        let operator = self.operator()?;
        let ignores_case = self.symbol("[cd]") || self.symbol("[c]");
        if !ignores_case && self.symbol("[") {
            return Err(self.expected("the option c or cd"));
        }
        let right = self.operand()?;
        let fold = |value: Value| if ignores_case { lower_case(value) } else { value };
        Ok(compare(&fold(left), operator, &fold(right)))
    }

    fn operator(&mut self) -> Result<Operator, PredicateError> {
        for (symbol, operator) in SYMBOLS {
            if self.symbol(symbol) {
                return Ok(*operator);
            }
        }
        for (word, operator) in WORDS {
            if self.word(word) {
                return Ok(*operator);
            }
        }
        Err(self.expected("a comparison"))
    }

    fn operand(&mut self) -> Result<Value, PredicateError> {
        if self.symbol("@status(") {
            let path = self.name()?;
            return Ok(self.facts.status(&path).unwrap_or(Value::Null));
        }
        if self.symbol("@property(") {
            let name = self.name()?;
            return Ok(self.facts.property(&name).unwrap_or(Value::Null));
        }
        if self.symbol("{") {
            return self.nested(Self::list);
        }
        for (word, value) in [
            ("TRUE", Value::Bool(true)),
            ("YES", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("NO", Value::Bool(false)),
            ("NULL", Value::Null),
            ("NIL", Value::Null),
        ] {
            if self.word(word) {
                return Ok(value);
            }
        }
        self.blanks();
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => self.string(quote),
            Some(digit) if digit.is_ascii_digit() || digit == '-' => self.number(),
            _ => Err(self.expected("@status(…), @property(…), a string, number, boolean or list")),
        }
    }

    /// The name in `@status(name)`, after the opening parenthesis.
    fn name(&mut self) -> Result<String, PredicateError> {
        let Some((name, _)) = self.rest().split_once(')') else {
            return Err(self.expected("`)`"));
        };
        let named = name.trim().to_owned();
        if named.is_empty() || named.contains(['(', ' ', '\'', '"']) {
            return Err(self.expected("a name"));
        }
        self.at += name.len() + 1;
        Ok(named)
    }

    fn list(&mut self) -> Result<Value, PredicateError> {
        let mut items = Vec::new();
        if self.symbol("}") {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.operand()?);
            if self.symbol("}") {
                return Ok(Value::Array(items));
            }
            if !self.symbol(",") {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn string(&mut self, quote: char) -> Result<Value, PredicateError> {
        let mut string = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '\\' => string.extend(characters.next().map(|(_, escaped)| escaped)),
                _ if character == quote => {
                    self.at += offset + quote.len_utf8();
                    return Ok(Value::String(string));
                }
                _ => string.push(character),
            }
        }
        Err(self.expected("a closing quote"))
    }

    fn number(&mut self) -> Result<Value, PredicateError> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+')))
            .unwrap_or(rest.len());
        let number = rest
            .get(..end)
            .and_then(|text| serde_json::from_str::<serde_json::Number>(text).ok());
        let number = number.ok_or_else(|| self.expected("a number"))?;
        self.at += end;
        Ok(Value::Number(number))
    }
}

fn lower_case(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.to_lowercase()),
        Value::Array(items) => Value::Array(items.into_iter().map(lower_case).collect()),
        other => other,
    }
}

fn compare(left: &Value, operator: Operator, right: &Value) -> bool {
    let texts = || left.as_str().zip(right.as_str());
    match operator {
        Operator::Equal => equal(left, right),
        Operator::NotEqual => !equal(left, right),
        Operator::Less => order(left, right) == Some(Ordering::Less),
        Operator::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
        Operator::Greater => order(left, right) == Some(Ordering::Greater),
        Operator::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
        Operator::In => contains(right, left),
        Operator::Contains => contains(left, right),
        Operator::BeginsWith => texts().is_some_and(|(text, start)| text.starts_with(start)),
        Operator::EndsWith => texts().is_some_and(|(text, end)| text.ends_with(end)),
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    order(left, right).map_or_else(|| left == right, Ordering::is_eq)
}

/// Numbers and booleans order by value (a boolean is 0 or 1, as in `NSNumber`), strings by character.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Value::String(left), Value::String(right)) = (left, right) {
        return Some(left.cmp(right));
    }
    number(left)?.partial_cmp(&number(right)?)
}

fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))))
}

fn contains(whole: &Value, part: &Value) -> bool {
    match whole {
        Value::Array(items) => items.iter().any(|item| equal(item, part)),
        Value::String(text) => part.as_str().is_some_and(|part| text.contains(part)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    struct Mac;

    impl Facts for Mac {
        fn status(&self, path: &str) -> Option<Value> {
            match path {
                "device.operating-system.family" => Some(json!("macOS")),
                "device.operating-system.version" => Some(json!("15.7")),
                "diskmanagement.filevault.enabled" => Some(json!(true)),
                "account.list" => Some(json!(["a", "b"])),
                _ => None,
            }
        }

        fn property(&self, name: &str) -> Option<Value> {
            match name {
                "shard" => Some(json!(42)),
                "ring" => Some(json!("Pilot")),
                _ => None,
            }
        }
    }

    #[test]
    fn predicates_that_servers_send() {
        for (predicate, expected) in [
            ("(@status(device.operating-system.family) == 'macOS')", true),
            ("@status(device.operating-system.family)=='iOS'", false),
            ("@status(device.operating-system.family) != \"iOS\"", true),
            (
                "@status(device.operating-system.family) IN {'iOS', 'macOS'}",
                true,
            ),
            ("NOT @status(device.operating-system.family) in {}", true),
            ("@property(shard) <= 42 AND @property(shard) > -1.5", true),
            (
                "@property(shard) < 10 || (@property(ring) ==[c] 'PILOT' && TRUEPREDICATE)",
                true,
            ),
            ("@property(shard) < 10 OR FALSEPREDICATE", false),
            ("!(@property(shard) = 42)", false),
            ("@status(diskmanagement.filevault.enabled) == YES", true),
            ("@status(diskmanagement.filevault.enabled) == 1", true),
            ("@status(diskmanagement.filevault.enabled) == FALSE", false),
            ("@status(device.operating-system.version) BEGINSWITH '15'", true),
            ("@status(device.operating-system.version) ENDSWITH '.6'", false),
            ("@property(ring) CONTAINS[cd] 'ILO'", true),
            ("@status(account.list) CONTAINS 'b'", true),
            ("'it\\'s' == \"it's\"", true),
            ("TRUE == YES OR nothing", true),
        ] {
            let value = evaluate(predicate, &Mac);
            if predicate.contains("nothing") {
                assert!(value.is_err(), "{predicate}");
            } else {
                assert_eq!(value, Ok(expected), "{predicate}");
            }
        }
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert_eq!(evaluate("1 == 1 OR 1 == 2 AND 1 == 3", &Mac), Ok(true));
        assert_eq!(evaluate("(1 == 1 OR 1 == 2) AND 1 == 3", &Mac), Ok(false));
        assert_eq!(evaluate("NOT 1 == 2 AND 1 == 1", &Mac), Ok(true));
    }

    #[test]
    fn a_missing_item_equals_only_null() {
        assert_eq!(evaluate("@status(passcode.is-present) == NULL", &Mac), Ok(true));
        assert_eq!(evaluate("@status(passcode.is-present) == TRUE", &Mac), Ok(false));
        assert_eq!(evaluate("@status(passcode.is-present) >= 0", &Mac), Ok(false));
        assert_eq!(evaluate("@property(gone) != 'x'", &Mac), Ok(true));
    }

    #[test]
    fn strings_compare_by_character_as_in_ns_predicate() {
        assert_eq!(evaluate("'9' > '10'", &Mac), Ok(true));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        for refused in [
            "",
            "macOS",
            "ANY @status(account.list) == 'a'",
            "SUBQUERY(a, $x, $x == 1).@count > 0",
            "@status(device.operating-system.version) MATCHES '1.*'",
            "@key(x) == 1",
            "@status() == 1",
            "@status(a == 1",
            "1 == 1 1",
            "(1 == 1",
            "'open == 1",
            "{1, 2 == 1",
            "1 ==[x] 1",
            "1.2.3 == 1",
        ] {
            assert!(evaluate(refused, &Mac).is_err(), "{refused}");
        }
        let error = evaluate("1 == 1 AND ANY x", &Mac).unwrap_err();
        assert!(error.to_string().ends_with("at character 11"), "{error}");
        assert!(evaluate(&format!("{}1 == 1{}", "(".repeat(40), ")".repeat(40)), &Mac).is_err());
        assert!(evaluate(&"NOT ".repeat(5000), &Mac).is_err());
    }

    proptest! {
        #[test]
        fn any_text_has_a_value_or_an_error(text in "[ -~é]{0,80}") {
            let _ = evaluate(&text, &Mac);
        }

        #[test]
        fn negation_negates(left in 0..20i64, right in 0..20i64) {
            let plain = format!("{left} < {right}");
            prop_assert_eq!(evaluate(&plain, &Mac), Ok(left < right));
            prop_assert_eq!(evaluate(&format!("NOT ({plain})"), &Mac), Ok(left >= right));
        }
    }
}
