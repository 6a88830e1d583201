//! The words of a label selector.

use std::fmt;

/// One word or symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Close,
    Comma,
    DoubleEquals,
    End,
    Equals,
    GreaterThan,
    Identifier(String),
    In,
    LessThan,
    Not,
    NotEquals,
    NotIn,
    Open,
    /// Symbols that mean nothing together.
    Unknown(String),
}

impl Token {
    /// Where a name is expected, `in` and `notin` are names.
    pub(super) fn as_value(&self) -> Self {
        match self {
            Self::In => Self::Identifier("in".to_owned()),
            Self::NotIn => Self::Identifier("notin".to_owned()),
            other => other.clone(),
        }
    }

    fn of_symbol(symbol: &str) -> Option<Self> {
        let token = match symbol {
            ")" => Self::Close,
            "," => Self::Comma,
            "==" => Self::DoubleEquals,
            "=" => Self::Equals,
            ">" => Self::GreaterThan,
            "<" => Self::LessThan,
            "!" => Self::Not,
            "!=" => Self::NotEquals,
            "(" => Self::Open,
            _ => return None,
        };
        Some(token)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close => ")",
            Self::Comma => ",",
            Self::DoubleEquals => "==",
            Self::End => "",
            Self::Equals => "=",
            Self::GreaterThan => ">",
            Self::Identifier(name) => name,
            Self::In => "in",
            Self::LessThan => "<",
            Self::Not => "!",
            Self::NotEquals => "!=",
            Self::NotIn => "notin",
            Self::Open => "(",
            Self::Unknown(text) => return write!(f, "error expected: keyword found '{text}'"),
        })
    }
}

/// Splits a selector; the last token is always [`Token::End`].
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        // Kubernetes' scanner takes a NUL for the end.
        let Some(first) = rest.chars().next().filter(|c| *c != '\0') else {
            tokens.push(Token::End);
            return tokens;
        };
        let length = if is_special(first) {
            symbol_length(rest)
        } else {
            rest.find(|c| is_special(c) || c == '\0' || c.is_ascii_whitespace())
                .unwrap_or(rest.len())
        };
        let Some((word, after)) = rest.split_at_checked(length) else {
            tokens.push(Token::End);
            return tokens;
        };
        tokens.push(match word {
            "in" => Token::In,
            "notin" => Token::NotIn,
            _ if is_special(first) => {
                Token::of_symbol(word).unwrap_or_else(|| Token::Unknown(word.to_owned()))
            }
            _ => Token::Identifier(word.to_owned()),
        });
        rest = after;
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

/// The longest symbol at the start, which is one or two characters.
fn symbol_length(text: &str) -> usize {
    match text.get(..2) {
        Some("==" | "!=") => 2,
        _ => 1,
    }
}
