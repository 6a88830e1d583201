//! Different values of one setting that become one: by Apple's `combinetype`, or because it is written down which is stricter.

use serde_json::Value;

use crate::policy::content::canonical;
use crate::policy::profile::served_type;
use crate::policy::schema::{Apply, Combine, Scalar, Schema};

/// How different values of a setting become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Combination<'k> {
    /// The way.
    pub how: Combine,
    /// The values that the setting may have, in the schema's order.
    pub values: &'k [Scalar],
    /// When.
    pub stage: Stage,
    /// Whether what comes of it is at least as strict as each value.
    pub stricter: bool,
}

/// When values are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Whatever their precedence: the device itself would do it.
    Device,
    /// Only those of equal precedence.
    Equals,
}

impl Combination<'_> {
    /// Whether of several lists only what all of them hold is left.
    #[must_use]
    pub fn is_intersection(&self) -> bool {
        self.how == Combine::SetIntersection && self.stage == Stage::Device
    }
}

/// One value of several. None: these cannot be combined in this way.
#[must_use]
pub fn combined(combination: &Combination<'_>, values: &[&Value]) -> Option<Value> {
    let flags = || {
        values
            .iter()
            .map(|value| value.as_bool())
            .collect::<Option<Vec<bool>>>()
    };
    let numbers = || {
        let numbers = values.iter().map(|value| Some((value.as_f64()?, *value)));
        numbers.collect::<Option<Vec<(f64, &Value)>>>()
    };
    // `1` and `1.0` are one number and two values.
    let by_number = |a: &(f64, &Value), b: &(f64, &Value)| {
        a.0.total_cmp(&b.0)
            .then_with(|| canonical(a.1).cmp(&canonical(b.1)))
    };
    let places = || {
        let place = |value: &Value| combination.values.iter().position(|known| is(known, value));
        let placed = values.iter().map(|value| Some((place(value)?, *value)));
        placed.collect::<Option<Vec<(usize, &Value)>>>()
    };
    let value = match combination.how {
        Combine::BooleanAnd => return Some(Value::Bool(flags()?.into_iter().all(|flag| flag))),
        Combine::BooleanOr => return Some(Value::Bool(flags()?.into_iter().any(|flag| flag))),
        Combine::NumberMax => numbers()?.into_iter().max_by(by_number)?.1,
        Combine::NumberMin => numbers()?.into_iter().min_by(by_number)?.1,
        Combine::EnumFirst => places()?.into_iter().min_by_key(|(place, _)| *place)?.1,
        Combine::EnumLast => places()?.into_iter().max_by_key(|(place, _)| *place)?.1,
        // Which the device meets first is not defined, and lists are no values of this kind.
        Combine::First | Combine::ArrayAppend | Combine::SetIntersection | Combine::SetUnion => return None,
    };
    Some(value.clone())
}

fn is(known: &Scalar, value: &Value) -> bool {
    match known {
        Scalar::Boolean(flag) => value.as_bool() == Some(*flag),
        Scalar::Integer(integer) => value.as_i64() == Some(*integer),
        Scalar::Real(real) => value
            .as_f64()
            .is_some_and(|number| number.total_cmp(real).is_eq()),
        Scalar::Text(text) => value.as_str() == Some(text),
    }
}

/// Settings of declarations of which the combined value is not the stricter one: a shorter history of passcodes, a shorter lockout, updates that are off
/// rather than forced.
const NOT_STRICTER: [(&str, &str); 3] = [
    ("com.apple.configuration.passcode.settings", "PasscodeReuseLimit"),
    (
        "com.apple.configuration.passcode.settings",
        "FailedAttemptsResetInMinutes",
    ),
    (
        "com.apple.configuration.softwareupdate.settings",
        "AutomaticActions",
    ),
];

/// How a device combines the values of a setting that several declarations of a type hold.
#[must_use]
pub fn of_declaration<'s>(schema: &'s Schema, type_: &str, path: &[&str]) -> Option<Combination<'s>> {
    let facts = schema.declarations.get(type_)?;
    if facts.apply != Some(Apply::Combined) {
        return None;
    }
    let key = facts.key(path)?;
    let how = key.combine?;
    let first = path.first().copied().unwrap_or_default();
    let known = !NOT_STRICTER.contains(&(type_, first));
    Some(Combination {
        how,
        values: &key.values,
        stage: Stage::Device,
        stricter: known
            && matches!(
                how,
                Combine::BooleanAnd
                    | Combine::BooleanOr
                    | Combine::NumberMax
                    | Combine::NumberMin
                    | Combine::SetIntersection
            ),
    })
}

const PASSCODE: &str = "com.apple.mobiledevice.passwordpolicy";
const RESTRICTIONS: &str = "com.apple.applicationaccess";

/// Settings of the passcode payload, of which Apple's documentation says that a device with several goes by the strictest.
pub(super) const PASSCODE_SETTINGS: [(&str, Combine); 11] = [
    ("allowSimple", Combine::BooleanAnd),
    ("changeAtNextAuth", Combine::BooleanOr),
    ("forcePIN", Combine::BooleanOr),
    ("maxFailedAttempts", Combine::NumberMin),
    ("maxGracePeriod", Combine::NumberMin),
    ("maxInactivity", Combine::NumberMin),
    ("maxPINAgeInDays", Combine::NumberMin),
    ("minComplexChars", Combine::NumberMax),
    ("minLength", Combine::NumberMax),
    ("pinHistory", Combine::NumberMax),
    ("requireAlphanumeric", Combine::BooleanOr),
];

/// Which value of a setting of a payload is the stricter one, where that is documented: of passcodes, and of restrictions that allow or force something.
#[must_use]
pub fn of_payload(type_: &str, path: &[&str]) -> Option<Combination<'static>> {
    let [setting] = path else { return None };
    let how = match served_type(type_) {
        PASSCODE => {
            let known = PASSCODE_SETTINGS.iter().find(|(known, _)| known == setting);
            known?.1
        }
        RESTRICTIONS if setting.starts_with("allow") => Combine::BooleanAnd,
        RESTRICTIONS if setting.starts_with("force") => Combine::BooleanOr,
        _ => return None,
    };
    Some(Combination {
        how,
        values: &[],
        stage: Stage::Equals,
        stricter: true,
    })
}
