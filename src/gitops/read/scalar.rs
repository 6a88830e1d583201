//! What a plain scalar means: the core schema of YAML 1.2 (§10.3.2), minus what other readers read differently.

use serde_json::{Number, Value};

/// Resolves the text of a plain (unquoted) scalar. `yes`, `on` and dates are strings.
///
/// # Errors
/// For numbers that JSON cannot hold, and for those that YAML 1.1 readers take for octal: a policy must not depend on
/// who reads it.
pub(super) fn resolve(text: &str) -> Result<Value, &'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err("JSON has no such number; put quotes around it if it is text");
    }
    if let Some((digits, radix)) = radix(text) {
        return match i64::from_str_radix(digits, radix) {
            Ok(number) => Ok(number.into()),
            Err(_) => Err("the number is too large; put quotes around it if it is text"),
        };
    }
    if !is_decimal(unsigned) {
        return Ok(Value::String(text.to_owned()));
    }
    let mut digits = unsigned.bytes();
    if digits.next() == Some(b'0') && digits.next().is_some_and(|byte| byte.is_ascii_digit()) {
        return Err(
            "a number with a leading zero is octal to some readers; put quotes around it if it is text",
        );
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let whole = text.strip_prefix('+').unwrap_or(text);
        let number = whole
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| whole.parse::<u64>().map(Value::from));
        return number.map_err(|_| "the number is too large; put quotes around it if it is text");
    }
    let number = text.parse().ok().and_then(Number::from_f64);
    number
        .map(Value::Number)
        .ok_or("the number is too large; put quotes around it if it is text")
}

/// `0o17` and `0x1F`: the digits and their base.
fn radix(text: &str) -> Option<(&str, u32)> {
    let (digits, radix) = match text.split_at_checked(2)? {
        ("0o", digits) => (digits, 8),
        ("0x", digits) => (digits, 16),
        _ => return None,
    };
    (!digits.is_empty() && digits.chars().all(|c| c.is_digit(radix))).then_some((digits, radix))
}

/// `[0-9]+ ( \. [0-9]* )? | \. [0-9]+`, then perhaps an exponent.
fn is_decimal(unsigned: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
        ),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    has_digits
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|text| !text.is_empty() && digits(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_core_schema_holds() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("False", json!(false)),
            ("on", json!("on")),
            ("yes", json!("yes")),
            ("n", json!("n")),
            ("12", json!(12)),
            ("-12", json!(-12)),
            ("+12", json!(12)),
            ("0", json!(0)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0xZZ", json!("0xZZ")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("10.15", json!(10.15)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            ("0.5", json!(0.5)),
            (".", json!(".")),
            ("-", json!("-")),
            ("1_000", json!("1_000")),
            ("1e", json!("1e")),
            ("e3", json!("e3")),
            ("13.6.1", json!("13.6.1")),
            ("2026-11-24", json!("2026-11-24")),
            ("12:30", json!("12:30")),
            ("infinity", json!("infinity")),
            ("nan", json!("nan")),
        ] {
            assert_eq!(resolve(text), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn numbers_that_are_not_safe_to_guess_are_refused() {
        for text in [
            "0777",
            "-01",
            "00",
            "007.5",
            "18446744073709551616",
            "0xFFFFFFFFFFFFFFFFF",
            "1e999",
            ".inf",
            ".nan",
        ] {
            assert!(resolve(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_read_back(number: i64) {
            prop_assert_eq!(resolve(&number.to_string()), Ok(json!(number)));
        }

        #[test]
        fn any_text_has_an_answer(text in "[-+.0-9eExo_a-f]{0,24}") {
            let _ = resolve(&text);
        }
    }
}
