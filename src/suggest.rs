//! "Did you mean": the known name nearest to one that is not known.

/// Names longer than this are neither suggested nor mended: comparing them is not worth the time.
const MAXIMUM_LENGTH: usize = 64;

/// The candidate that differs least from `name`, if it differs little enough to be a slip of the hand.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fits = |text: &str| text.len() <= MAXIMUM_LENGTH;
    let length = name.chars().count();
    let allowed = (length / 3).clamp(1, 6);
    // Texts differ at least by as many letters as one has more: most candidates need no comparing.
    let may_be_near = |text: &str| text.chars().count().abs_diff(length) <= allowed;
    candidates
        .into_iter()
        .filter(|candidate| fits(name) && fits(candidate) && may_be_near(candidate))
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean \`x\`?`, or nothing: to end a message with.
#[must_use]
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// How many letters must be put in, left out or changed to make one text the other, whatever their case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut last = i + 1;
        next.push(last);
        for (right, above) in b.iter().zip(row.windows(2)) {
            let (diagonal, up) = match above {
                [diagonal, up] => (*diagonal, *up),
                _ => (0, 0),
            };
            last = (diagonal + usize::from(left != *right)).min(up + 1).min(last + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_its_name_and_nonsense_finds_none() {
        let names = ["SecurityInfo", "DeviceInformation", "StatusItems"];
        assert_eq!(nearest("SecurityInof", names), Some("SecurityInfo"));
        assert_eq!(nearest("deviceInformation", names), Some("DeviceInformation"));
        assert_eq!(nearest("banana", names), None);
        assert_eq!(did_you_mean("StatusItem", names), "; did you mean `StatusItems`?");
        assert_eq!(did_you_mean("x", names), "");
        assert_eq!(nearest(&"x".repeat(65), [&*"x".repeat(64)]), None);
    }

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
