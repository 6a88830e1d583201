use super::markdown::{MARK, MAX_COMMENT, comment};
use super::report::tests::report;

#[test]
fn a_comment_has_a_limit_and_says_what_it_leaves_out() {
    let long = report(2_000, &"x".repeat(200));
    let text = comment(&long);
    assert!(text.chars().count() <= MAX_COMMENT, "{}", text.chars().count());
    assert!(text.trim_end().ends_with(MARK));
    assert!(text.contains("1900 more"), "{text}");
}

#[test]
fn nothing_from_the_repository_becomes_more_than_text() {
    let text = comment(&report(
        1,
        "@everyone [a](https://b) <img src=x> #1 `c` | d\u{1b}[2J",
    ));
    for forbidden in ["@everyone", "[a](", "<img", "#1", "https://", "\u{1b}"] {
        let plain: Vec<&str> = text.lines().filter(|line| !line.contains('`')).collect();
        assert!(!plain.join("\n").contains(forbidden), "{forbidden} in {text}");
    }
    // In a table a bar would end the cell, also in code.
    assert!(text.contains("\\| d"), "{text}");
}
