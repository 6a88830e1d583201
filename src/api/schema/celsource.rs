//! Where in the text of a CEL expression something stands, and how the API server shows it. The parser at hand keeps no
//! places, so they are found again: the n-th selection of a field in the tree is the n-th in the text.

/// What an error can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `.name`, where no call follows.
    Select(&'a str),
    /// A name that stands by itself.
    Name(&'a str),
    /// `has(`, which tests a selection.
    Test,
}

/// The tokens of an expression with their offsets, in characters.
pub(super) fn tokens(source: &str) -> Vec<(usize, Token<'_>)> {
    let mut found = Vec::new();
    let mut rest = source;
    // The offset of `rest`, and of a dot that has just been passed.
    let (mut at, mut dot) = (0, None);
    while let Some(first) = rest.chars().next() {
        let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = rest.split_at(name.unwrap_or(rest.len())).0;
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(length) = text_length(rest, name) {
            length
        } else if name.is_empty() {
            first.len_utf8()
        } else {
            let after = rest.get(name.len()..).unwrap_or_default().trim_start();
            let is_call = after.starts_with('(');
            let is_number = name.starts_with(|c: char| c.is_ascii_digit());
            match dot {
                _ if is_number => {}
                Some(dot) if !is_call => found.push((dot, Token::Select(name))),
                None if is_call && name == "has" => {
                    let blanks = rest.len() - name.len() - after.len();
                    found.push((at + name.len() + blanks, Token::Test));
                }
                None => found.push((at, Token::Name(name))),
                Some(_) => {}
            }
            name.len()
        };
        let (passed, left) = rest.split_at(length);
        if !passed.chars().all(char::is_whitespace) {
            dot = (passed == ".").then_some(at);
        }
        at += passed.chars().count();
        rest = left;
    }
    found
}

/// The length of the text literal at the start of `rest`, which may begin with letters that say what kind it is.
fn text_length(rest: &str, name: &str) -> Option<usize> {
    let is_prefix = matches!(name.to_ascii_lowercase().as_str(), "" | "r" | "b" | "rb" | "br");
    let literal = rest.get(name.len()..).filter(|_| is_prefix)?;
    let quote = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| literal.starts_with(quote))?;
    let is_raw = name.contains(['r', 'R']);
    let inside = literal.get(quote.len()..)?;
    let mut escaped = false;
    for (index, character) in inside.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' && !is_raw {
            escaped = true;
        } else if inside.get(index..).is_some_and(|left| left.starts_with(quote)) {
            return Some(name.len() + quote.len() + index + quote.len());
        }
    }
    Some(rest.len())
}

/// A message with the line that it is about, and an arrow below the place.
pub(super) fn located(source: &str, offset: usize, message: &str) -> String {
    let (mut line, mut column) = (1, 0);
    for character in source.chars().take(offset) {
        if character == '\n' {
            (line, column) = (line + 1, 0);
        } else {
            column += 1;
        }
    }
    let text = source.split('\n').nth(line - 1).unwrap_or_default();
    let dots = ".".repeat(column);
    format!(
        "ERROR: <input>:{line}:{}: {message}\n | {text}\n | {dots}^",
        column + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_selections_are_found_and_what_stands_in_texts_is_not() {
        let source = "has(self.a) && r'\\'.b == \"x.y\\\"z\" // self.c\n|| list . d[1.5].size() > 1";
        assert_eq!(
            tokens(source),
            [
                (3, Token::Test),
                (4, Token::Name("self")),
                (8, Token::Select("a")),
                (19, Token::Select("b")),
                (47, Token::Name("list")),
                (52, Token::Select("d")),
            ]
        );
        assert!(tokens("'unfinished").is_empty());
        assert_eq!(tokens("ä.b"), [(1, Token::Select("b"))]);
    }
}
