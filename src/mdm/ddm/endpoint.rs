//! The `Endpoint` of a DeclarativeManagement message, by a strict grammar.
//!
//! ```text
//! endpoint   = "tokens" / "declaration-items" / "status" / "declaration/" kind "/" identifier
//! kind       = "activation" / "asset" / "configuration" / "management"
//! identifier = segment *( "/" segment )
//! ```
//!
//! It looks like a path and is none: it is never resolved, unescaped or joined to anything.

use crate::policy::Section;

/// The longest identifier that is looked up, in bytes. Apple's own limit for one that is served is 64.
const IDENTIFIER_LIMIT: usize = 255;

/// The endpoint is none of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint is none of tokens, declaration-items, status and declaration/<kind>/<identifier>")]
pub struct Error;

/// What a device asks of declarative management.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint<'e> {
    /// Has anything changed?
    Tokens,
    /// What should I hold?
    DeclarationItems,
    /// One declaration, please.
    Declaration {
        /// Its section of the manifest.
        section: Section,
        /// Its identifier.
        identifier: &'e str,
    },
    /// This is how I am.
    Status,
}

impl<'e> Endpoint<'e> {
    /// Reads an endpoint.
    ///
    /// # Errors
    /// When it does not follow the grammar.
    pub fn parse(text: &'e str) -> Result<Self, Error> {
        match text {
            "tokens" => return Ok(Self::Tokens),
            "declaration-items" => return Ok(Self::DeclarationItems),
            "status" => return Ok(Self::Status),
            _ => {}
        }
        let (kind, identifier) = text
            .strip_prefix("declaration/")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(Error)?;
        let section = match kind {
            "activation" => Section::Activations,
            "asset" => Section::Assets,
            "configuration" => Section::Configurations,
            "management" => Section::Management,
            _ => return Err(Error),
        };
        if identifier.len() > IDENTIFIER_LIMIT || !identifier.split('/').all(is_segment) {
            return Err(Error);
        }
        Ok(Self::Declaration { section, identifier })
    }
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment
            .chars()
            .all(|c| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '%' | '?' | '#' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_endpoints_are_read() {
        assert_eq!(Endpoint::parse("tokens"), Ok(Endpoint::Tokens));
        assert_eq!(
            Endpoint::parse("declaration-items"),
            Ok(Endpoint::DeclarationItems)
        );
        assert_eq!(Endpoint::parse("status"), Ok(Endpoint::Status));
        for (kind, section) in [
            ("activation", Section::Activations),
            ("asset", Section::Assets),
            ("configuration", Section::Configurations),
            ("management", Section::Management),
        ] {
            assert_eq!(
                Endpoint::parse(&format!("declaration/{kind}/dev.provost.a")),
                Ok(Endpoint::Declaration {
                    section,
                    identifier: "dev.provost.a"
                })
            );
        }
    }

    #[test]
    fn an_identifier_may_hold_slashes() {
        assert_eq!(
            Endpoint::parse("declaration/configuration/a/b/c"),
            Ok(Endpoint::Declaration {
                section: Section::Configurations,
                identifier: "a/b/c"
            })
        );
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        let long = format!("declaration/asset/{}", "a".repeat(256));
        for text in [
            "",
            "/",
            "//host/tokens",
            "http://example.com/tokens",
            "tokens/",
            "Tokens",
            " tokens",
            "declaration",
            "declaration/",
            "declaration/configuration",
            "declaration/configuration/",
            "declaration/configurations/a",
            "declaration/configuration//a",
            "declaration/configuration/..",
            "declaration/configuration/../asset/a",
            "declaration/configuration/a/../../b",
            "declaration/configuration/%2e%2e",
            "declaration/configuration/a?b",
            "declaration/configuration/a#b",
            "declaration/configuration/a\\b",
            "declaration/configuration/a\0b",
            "declaration/configuration/ä",
            long.as_str(),
        ] {
            assert_eq!(Endpoint::parse(text), Err(Error), "{text:?}");
        }
    }
}
