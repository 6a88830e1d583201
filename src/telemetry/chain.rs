//! Errors on one line, with everything that led to them: how every log line and every message to a person tells them.

/// What an error comes from in the end: of a chain that repeats itself, the part that helps.
#[must_use]
pub fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// An error with everything that led to it, on one line. What a link says again is left out.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = String::new();
        let mut link = Some(self.0);
        while let Some(error) = link {
            let (text, source) = match error.downcast_ref::<kube::Error>() {
                // Its own words are followed by the answer as a debugger shows it, and its source says the same once more.
                Some(kube::Error::Api(status)) if !status.message.is_empty() => {
                    (status.message.clone(), None)
                }
                _ => (error.to_string(), error.source()),
            };
            // Some errors end with the words of their source.
            let repeated = source.map(ToString::to_string);
            let own = repeated.and_then(|words| text.strip_suffix(&words));
            let own = own.map_or(text.as_str(), |own| own.trim_end_matches(": "));
            if !said.is_empty() && !own.is_empty() {
                said.push_str(": ");
            }
            said.push_str(own);
            link = source;
        }
        f.write_str(&said)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use kube::core::Status;
    use kube::runtime::watcher;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file cannot be read: {0}")]
    struct Repeats(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("the start failed")]
    struct Start(#[source] Repeats);

    #[test]
    fn a_chain_says_everything_once() {
        let error = Start(Repeats(io::Error::other("no such disk")));
        let said = Chain(&error).to_string();
        assert_eq!(said, "the start failed: the file cannot be read: no such disk");
        assert_eq!(cause(&error), "no such disk");
    }

    #[test]
    fn a_refusal_by_the_api_is_its_message_and_no_more() {
        let error = kube::Error::Api(Box::new(
            Status::failure("devices is forbidden", "Forbidden").with_code(403),
        ));
        assert_eq!(Chain(&error).to_string(), "devices is forbidden");
        let error = watcher::Error::WatchStartFailed(error);
        assert_eq!(
            Chain(&error).to_string(),
            "failed to start watching object: devices is forbidden"
        );
    }
}
