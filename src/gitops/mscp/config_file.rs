//! Pieces of configuration files, in the words of the service that reads them.
//!
//! A rule gives a line (a key and a value) or a block of lines. Together they are fragments: a service that is given one as its
//! file would do without everything else that it had. They are shown, never delivered.

use std::collections::BTreeMap;

use serde_json::Value;

use super::assemble::Gathered;

/// Where each service that mSCP knows has its files.
const SERVICES: [(&str, &str); 6] = [
    ("com.apple.bash", "/etc/"),
    ("com.apple.cups", "/etc/cups/"),
    ("com.apple.pam", "/etc/pam.d/"),
    ("com.apple.sshd", "/etc/ssh/"),
    ("com.apple.sudo", "/etc/"),
    ("com.apple.zsh", "/etc/"),
];
/// The service whose files give each keyword one value.
const SSHD: &str = "com.apple.sshd";
/// The key that says that the value is a block of lines.
const BLOCK: &str = "file";

/// A piece of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The service, such as `com.apple.sshd`.
    pub service: String,
    /// The file, from the root of the file system.
    pub path: String,
    /// The lines.
    pub lines: Vec<String>,
    /// Whether the rule gives them as a block.
    block: bool,
}

impl Fragment {
    /// A piece, and what had to be put into other words for the service to understand it.
    pub(super) fn new(service: &str, file: &str, key: &str, value: &Value) -> (Self, Option<String>) {
        let folder = SERVICES
            .iter()
            .find(|(name, _)| *name == service)
            .map_or("/etc/", |(_, folder)| *folder);
        let mut mended = None;
        let text = match value {
            Value::Bool(on) => {
                let word = if *on { "yes" } else { "no" };
                mended = Some(format!(
                    "{on} is no word of a configuration file; it becomes `{word}`"
                ));
                word.to_owned()
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let lines = if key == BLOCK {
            text.lines()
                .map(str::trim_end)
                .filter(|line| !line.trim().is_empty())
                .map(str::to_owned)
                .collect()
        } else if service == SSHD && key.eq_ignore_ascii_case("ChannelTimeout") && is_interval(&text) {
            mended = Some(format!(
                "a time-out of channels needs the kind of channel; `{text}` becomes `*={text}`, for all kinds"
            ));
            vec![format!("{key} *={text}")]
        } else {
            vec![format!("{key} {text}")]
        };
        let fragment = Self {
            service: service.to_owned(),
            path: format!("{folder}{file}"),
            lines,
            block: key == BLOCK,
        };
        (fragment, mended)
    }

    pub(super) fn is_of_known_service(&self) -> bool {
        SERVICES.iter().any(|(name, _)| *name == self.service)
    }

    /// The last part of the service's name: `sshd`.
    pub(super) fn short_service(&self) -> &str {
        self.service.rsplit('.').next().unwrap_or(&self.service)
    }

    /// What two rules may not say differently: sshd's keyword of a line; elsewhere, where lines of one keyword stand beside each other,
    /// the block as a whole.
    fn keyed(&self) -> Vec<(String, String)> {
        if self.service == SSHD {
            let keyword = |line: &String| {
                let keyword = line.split_whitespace().next().unwrap_or_default();
                (keyword.to_owned(), line.clone())
            };
            self.lines.iter().map(keyword).collect()
        } else if self.block {
            vec![(String::new(), self.lines.join("\n"))]
        } else {
            self.lines
                .iter()
                .map(|line| (line.clone(), line.clone()))
                .collect()
        }
    }
}

/// A number of seconds, or of other units, as sshd writes times.
fn is_interval(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// A file put together, and what was left out of it: setting, then each text with the rules that want it.
pub(super) struct Assembled {
    pub(super) text: String,
    pub(super) clashes: Vec<(String, Wanted)>,
}

/// Texts that cannot all be had, each with the rules that want it.
pub(super) type Wanted = Vec<(Value, Vec<usize>)>;

/// Puts a file together from pieces, each with its rule, in order.
pub(super) fn assemble(pieces: &[Gathered<&Fragment>]) -> Assembled {
    let mut order: Vec<String> = Vec::new();
    let mut wanted: BTreeMap<String, Vec<(String, Vec<usize>)>> = BTreeMap::new();
    for piece in pieces {
        for (keyword, text) in piece.content.keyed() {
            // Keywords have no case.
            let key = keyword.to_lowercase();
            let texts = wanted.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                Vec::new()
            });
            match texts.iter_mut().find(|(known, _)| same_words(known, &text)) {
                Some((_, rules)) => rules.push(piece.source),
                None => texts.push((text, vec![piece.source])),
            }
        }
    }
    let mut assembled = Assembled {
        text: String::new(),
        clashes: Vec::new(),
    };
    for key in order {
        match wanted.remove(&key).unwrap_or_default().as_slice() {
            [(text, _)] => {
                assembled.text.push_str(text);
                assembled.text.push('\n');
            }
            texts => assembled.clashes.push((
                key,
                texts
                    .iter()
                    .map(|(text, rules)| (Value::String(text.clone()), rules.clone()))
                    .collect(),
            )),
        }
    }
    assembled
}

/// Blanks do not count, nor does the case of the keyword.
fn same_words(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split_whitespace(), other.split_whitespace());
    let keywords = (one.next().unwrap_or_default(), other.next().unwrap_or_default());
    keywords.0.eq_ignore_ascii_case(keywords.1) && one.eq(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(service: &str, file: &str, key: &str, value: &Value) -> Fragment {
        Fragment::new(service, file, key, value).0
    }

    fn together(fragments: &[Fragment]) -> Assembled {
        let pieces: Vec<Gathered<&Fragment>> = fragments
            .iter()
            .enumerate()
            .map(|(source, content)| Gathered { source, content })
            .collect();
        assemble(&pieces)
    }

    #[test]
    fn values_are_written_in_the_service_s_words() {
        let sshd = |key: &str, value: Value| line(SSHD, "sshd_config", key, &value).lines;
        assert_eq!(sshd("PermitRootLogin", json!(false)), ["PermitRootLogin no"]);
        assert_eq!(sshd("ChannelTimeout", json!(900)), ["ChannelTimeout *=900"]);
        assert_eq!(
            sshd("ChannelTimeout", json!("session=5m")),
            ["ChannelTimeout session=5m"]
        );
        assert_eq!(sshd("file", json!("A 1\n\nB 2\n")), ["A 1", "B 2"]);
        assert_eq!(
            line("com.apple.pam", "su", "file", &json!("x")).path,
            "/etc/pam.d/su"
        );
        assert!(!line("com.example", "x", "y", &json!(1)).is_of_known_service());
    }

    #[test]
    fn sshd_has_one_value_for_a_keyword_and_sudo_many_lines() {
        let sshd = together(&[
            line(SSHD, "sshd_config", "Banner", &json!("/etc/banner")),
            line(SSHD, "sshd_config", "LoginGraceTime", &json!(30)),
            line(
                SSHD,
                "sshd_config",
                "file",
                &json!("banner  /etc/banner\nLoginGraceTime 60"),
            ),
        ]);
        assert_eq!(sshd.text, "Banner /etc/banner\n");
        let [(keyword, sides)] = sshd.clashes.as_slice() else {
            panic!("the times differ");
        };
        assert_eq!(keyword, "logingracetime");
        assert_eq!(
            sides,
            &[
                (json!("LoginGraceTime 30"), vec![1]),
                (json!("LoginGraceTime 60"), vec![2])
            ]
        );
        let sudo = together(&[
            line("com.apple.sudo", "sudoers", "Defaults", &json!("log_allowed")),
            line(
                "com.apple.sudo",
                "sudoers",
                "Defaults timestamp_timeout=",
                &json!(0),
            ),
            line("com.apple.sudo", "sudoers", "Defaults", &json!("log_allowed")),
        ]);
        assert_eq!(sudo.text, "Defaults log_allowed\nDefaults timestamp_timeout= 0\n");
        assert!(sudo.clashes.is_empty());
    }
}
