//! A bearer token in a request, read in one way whoever is asked.

use http::HeaderValue;

/// The token of `Bearer TOKEN`, as the Kubernetes API server reads it: one blank before it, and nothing after it counts. Another scheme is no
/// credential here.
#[must_use]
pub fn token(authorization: &HeaderValue) -> Option<&str> {
    let text = std::str::from_utf8(authorization.as_bytes()).ok()?;
    let mut words = text.trim().split(' ');
    let scheme = words.next()?;
    let token = words.next().filter(|token| !token.is_empty())?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_a_token() {
        for (header, expected) in [
            (b"Bearer abc".as_slice(), Some("abc")),
            (b"bearer abc def", Some("abc")),
            (b" BEARER abc ", Some("abc")),
            (b"Bearer  abc", None),
            (b"Bearer", None),
            (b"Basic abc", None),
            (b"abc", None),
            (b"", None),
            (b"Bearer \xff", None),
        ] {
            let header = HeaderValue::from_bytes(header).unwrap();
            assert_eq!(token(&header), expected, "{header:?}");
        }
    }
}
