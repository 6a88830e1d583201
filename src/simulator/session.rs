//! One contact with the server: tell what is new, take commands until there are none, sync declarations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use plist::{Dictionary, Value};

use super::commands::{self, Answer, Then};
use super::declarative::{Declaration, Kind, Manifest, SyncTokens};
use super::enroll::{CHECK_IN, Enrollment, check_in, speak_for};
use super::events::{Counters, count};
use super::link::{Link, LinkError, Message, Reply};
use super::profile::Profile;
use super::seed::Seed;
use super::shelf::Shelf;
use super::state::DeviceState;

/// The content type of command reports.
pub(super) const REPORT: &str = "application/x-apple-aspen-mdm";
/// After so many commands in one contact the device stops: the server repeats itself.
const MAX_COMMANDS: usize = 500;
/// So many times a sync starts over when the set of declarations moves under it.
const SYNC_ATTEMPTS: usize = 3;
/// The `code` that ends an enrolment, in the body of a 403.
const UNRECOGNIZED: &str = "com.apple.unrecognized.device";

/// Documents that devices share.
#[derive(Debug, Default)]
pub(super) struct Library {
    profiles: Shelf<Profile>,
    declarations: Shelf<Declaration>,
}

/// What devices share during contacts.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) library: Library,
    pub(super) counters: Counters,
    /// In how many of a hundred cases a command is answered `NotNow`.
    pub(super) not_now_percent: AtomicU8,
}

/// How a contact ended, other than well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The server is away, busy or confused: try again later.
    #[error("the contact failed: {what}")]
    Trouble { what: String, after: Option<Duration> },
    /// The enrolment is over.
    #[error("no longer enrolled: {reason}")]
    Unenrolled { reason: String },
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        let source = std::error::Error::source(&error)
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        Self::Trouble {
            what: format!("{error}{source}"),
            after: None,
        }
    }
}

/// What a good contact leaves to do.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// A command was put off: poll again soon.
    pub(super) put_off: bool,
    /// The declarations could not all be had: sync again soon.
    pub(super) incomplete: bool,
}

/// A device in contact.
pub(super) struct Session<'a> {
    pub(super) state: &'a mut DeviceState,
    pub(super) memory: &'a mut Memory,
    pub(super) seed: &'a mut Seed,
    pub(super) link: &'a mut Link,
    pub(super) enrollment: &'a Enrollment,
    pub(super) common: &'a Common,
}

/// What a device remembers between contacts, besides its state.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// A sync that was asked for and not finished.
    pub(super) sync: Option<SyncRequest>,
    /// Whether declarative management is on, and whether the server still needs a complete report.
    pub(super) declarative: Option<Reporting>,
    /// Whether the user's channel was pushed to and has not been looked after.
    pub(super) user_is_called: bool,
}

/// A sync to do.
#[derive(Debug, Default, Clone)]
pub(super) struct SyncRequest {
    /// The token that the command brought, if it did.
    token: Option<String>,
}

/// What the next status report has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reporting {
    Everything,
    Changes,
}

impl Session<'_> {
    /// One whole contact.
    pub(super) async fn run(&mut self) -> Result<Left, Ended> {
        let mut left = Left::default();
        // What has changed is told before a command can undo it.
        if self.memory.declarative == Some(Reporting::Changes) {
            self.report_status().await?;
        }
        left.put_off = self.take_commands().await?;
        if let Some(request) = self.memory.sync.clone() {
            left.incomplete = !self.sync(request.token).await?;
            self.memory.sync = None;
        }
        if self.memory.user_is_called {
            self.take_user_commands().await?;
            self.memory.user_is_called = false;
        }
        Ok(left)
    }

    /// Takes the commands of the user's channel. All of them are done as soon as they are there: a user has no settings here.
    async fn take_user_commands(&mut self) -> Result<(), Ended> {
        let Some(user) = self.state.identity.user.clone() else {
            return Ok(());
        };
        let mut report = Dictionary::new();
        report.insert("Status".to_owned(), "Idle".into());
        for _ in 0..MAX_COMMANDS {
            speak_for(&user, &mut report);
            let Some((uuid, _)) = self.tell(report).await? else {
                return Ok(());
            };
            count(&self.common.counters.user_commands);
            report = Answer::acknowledged().report;
            report.insert("CommandUUID".to_owned(), uuid.into());
        }
        Ok(())
    }

    /// Polls until the server has no more commands; true if one was put off.
    async fn take_commands(&mut self) -> Result<bool, Ended> {
        let mut put_off = false;
        let mut idle = Dictionary::new();
        idle.insert("Status".to_owned(), "Idle".into());
        let mut offered = self.tell(idle).await?;
        for _ in 0..MAX_COMMANDS {
            let Some((uuid, command)) = offered else {
                return Ok(put_off);
            };
            let answer = self.answer(&command);
            put_off |= answer.report.get("Status").and_then(Value::as_string) == Some("NotNow");
            let mut report = answer.report;
            report.insert("CommandUUID".to_owned(), uuid.into());
            let next = self.tell(report).await?;
            match answer.then {
                Then::Nothing => {}
                Then::Sync(token) => {
                    self.memory.declarative.get_or_insert(Reporting::Everything);
                    self.memory.sync = Some(SyncRequest { token });
                }
                Then::Leave => return Err(self.check_out().await),
            }
            offered = next;
        }
        Err(Ended::Trouble {
            what: "the server has too many commands".to_owned(),
            after: None,
        })
    }

    fn answer(&mut self, command: &Dictionary) -> Answer {
        let common = self.common;
        if self.seed.chance(common.not_now_percent.load(Ordering::Relaxed)) {
            count(&common.counters.not_now);
            return Answer::not_now();
        }
        count(&common.counters.commands);
        commands::answer(self.state, command, &|bytes| {
            common.library.profiles.take(bytes, Profile::parse)
        })
    }

    /// Sends a report; the reply is the next command, if any.
    async fn tell(&mut self, mut report: Dictionary) -> Result<Option<(String, Dictionary)>, Ended> {
        report.insert("UDID".to_owned(), self.state.identity.udid.as_str().into());
        let reply = check(put(self.link, &self.enrollment.server_url, REPORT, &report).await?)?;
        if reply.body.is_empty() {
            return Ok(None);
        }
        let mut offered: Dictionary = plist::from_bytes(&reply.body)
            .map_err(|error| trouble(format!("the command is unreadable: {error}")))?;
        let uuid = offered.remove("CommandUUID").and_then(Value::into_string);
        let uuid = uuid.ok_or_else(|| trouble("the command has no CommandUUID".to_owned()))?;
        let command = offered
            .remove("Command")
            .and_then(Value::into_dictionary)
            .unwrap_or_default();
        Ok(Some((uuid, command)))
    }

    async fn check_out(&mut self) -> Ended {
        let message = check_in("CheckOut", &self.state.identity, self.enrollment);
        // Best effort, as on real devices: the profile is gone, whatever the server says.
        let told = put(self.link, &self.enrollment.check_in_url, CHECK_IN, &message).await;
        if let Err(error) = told {
            tracing::debug!(device.udid = self.state.identity.udid, %error, "the check-out did not arrive");
        }
        Ended::Unenrolled {
            reason: "removed by command".to_owned(),
        }
    }

    /// Brings declarations up to date, applies them anew and reports; false if some could not be had.
    async fn sync(&mut self, mut brought: Option<String>) -> Result<bool, Ended> {
        self.state.declarative.repair();
        let mut complete = false;
        for _ in 0..SYNC_ATTEMPTS {
            let token = match brought.take() {
                Some(token) => token,
                None => read::<SyncTokens>(&self.exchange("tokens", None).await?)?.into_token(),
            };
            complete = self.state.declarative.is_current(&token) || self.fetch_declarations().await?;
            if complete {
                break;
            }
        }
        self.state.evaluate();
        let profiles_complete = self.fetch_profiles().await?;
        self.state.apply_declarations();
        self.report_status().await?;
        Ok(complete && profiles_complete)
    }

    /// Fetches what the manifest has new; false if the set moved meanwhile.
    async fn fetch_declarations(&mut self) -> Result<bool, Ended> {
        let manifest: Manifest = read(&self.exchange("declaration-items", None).await?)?;
        let mut fetched = Vec::new();
        let mut complete = true;
        for (kind, item) in self.state.declarative.missing(&manifest) {
            match self.fetch_declaration(kind, &item.identifier).await? {
                Some(found)
                    if found.server_token == item.server_token && found.identifier == item.identifier =>
                {
                    fetched.push((kind, found));
                }
                _ => complete = false,
            }
        }
        self.state.declarative.adopt(&manifest, fetched);
        count(&self.common.counters.moves);
        Ok(complete)
    }

    async fn fetch_declaration(
        &mut self,
        kind: Kind,
        identifier: &str,
    ) -> Result<Option<Arc<Declaration>>, Ended> {
        let endpoint = format!("declaration/{}/{identifier}", kind.path());
        let reply = self.declarative_management(&endpoint, None).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let body = check(reply)?.body;
        let parsed = self
            .common
            .library
            .declarations
            .take(&body, |bytes| serde_json::from_slice::<Declaration>(bytes));
        parsed
            .map(Some)
            .map_err(|error| trouble(format!("declaration {identifier} is unreadable: {error}")))
    }

    /// Fetches the profiles of active `legacy` configurations; false if one could not be had.
    async fn fetch_profiles(&mut self) -> Result<bool, Ended> {
        let mut complete = true;
        for (configuration, url) in self.state.declarative.missing_profiles() {
            let message = Message {
                method: Method::GET,
                url: &url,
                content_type: "",
                authorization: None,
                body: Bytes::new(),
            };
            let reply = self.link.send(message).await?;
            let profile = match reply.status {
                StatusCode::OK => self
                    .common
                    .library
                    .profiles
                    .take(&reply.body, Profile::parse)
                    .map_err(|error| format!("the profile at {url} is not valid: {error}")),
                status if status.is_server_error() => {
                    return Err(trouble(format!("{url} answered HTTP {status}")));
                }
                status => Err(format!("{url} answered HTTP {status}")),
            };
            complete &= profile.is_ok();
            self.state.declarative.put_profile(&configuration, profile);
        }
        Ok(complete)
    }

    /// Sends a status report, if there is anything to tell.
    async fn report_status(&mut self) -> Result<(), Ended> {
        let full = self.memory.declarative == Some(Reporting::Everything);
        let Some(report) = self.state.report(full) else {
            return Ok(());
        };
        self.exchange("status", Some(report.body.to_string().into_bytes()))
            .await?;
        self.state.declarative.reported(report);
        self.memory.declarative = Some(Reporting::Changes);
        count(&self.common.counters.reports);
        Ok(())
    }

    async fn exchange(&mut self, endpoint: &str, data: Option<Vec<u8>>) -> Result<Bytes, Ended> {
        let reply = self.declarative_management(endpoint, data).await?;
        check(reply).map(|reply| reply.body)
    }

    async fn declarative_management(
        &mut self,
        endpoint: &str,
        data: Option<Vec<u8>>,
    ) -> Result<Reply, Ended> {
        let mut message = check_in("DeclarativeManagement", &self.state.identity, self.enrollment);
        message.insert("Endpoint".to_owned(), endpoint.into());
        if let Some(data) = data {
            message.insert("Data".to_owned(), Value::Data(data));
        }
        put(self.link, &self.enrollment.check_in_url, CHECK_IN, &message).await
    }
}

/// Sends a property list.
pub(super) async fn put(
    link: &mut Link,
    url: &str,
    content_type: &'static str,
    message: &Dictionary,
) -> Result<Reply, Ended> {
    let mut body = Vec::new();
    plist::to_writer_xml(&mut body, message)
        .map_err(|error| trouble(format!("the message could not be written: {error}")))?;
    let message = Message {
        method: Method::PUT,
        url,
        content_type,
        authorization: None,
        body: body.into(),
    };
    Ok(link.send(message).await?)
}

/// What a device makes of a status code.
pub(super) fn check(reply: Reply) -> Result<Reply, Ended> {
    match reply.status {
        StatusCode::OK => Ok(reply),
        StatusCode::UNAUTHORIZED => Err(Ended::Unenrolled {
            reason: "HTTP 401".to_owned(),
        }),
        StatusCode::FORBIDDEN if is_unrecognized(&reply.body) => Err(Ended::Unenrolled {
            reason: UNRECOGNIZED.to_owned(),
        }),
        status => Err(Ended::Trouble {
            what: format!("HTTP {status}"),
            after: reply.retry_after,
        }),
    }
}

/// The body of a 403 is JSON or a property list.
fn is_unrecognized(body: &[u8]) -> bool {
    let json = serde_json::from_slice::<serde_json::Value>(body).ok();
    let json = json.and_then(|body| Some(body.get("code")?.as_str()? == UNRECOGNIZED));
    json.or_else(|| {
        let body: Dictionary = plist::from_bytes(body).ok()?;
        Some(body.get("code")?.as_string()? == UNRECOGNIZED)
    })
    .unwrap_or(false)
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Ended> {
    serde_json::from_slice(body).map_err(|error| trouble(format!("the server's JSON is unreadable: {error}")))
}

const fn trouble(what: String) -> Ended {
    Ended::Trouble { what, after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: u16, body: &str) -> Result<(), Ended> {
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        check(Reply {
            status,
            retry_after: Some(Duration::from_secs(9)),
            body,
        })
        .map(|_| ())
    }

    #[test]
    fn only_401_and_the_unrecognized_403_end_an_enrolment() {
        assert!(ended(200, "").is_ok());
        assert!(matches!(ended(401, ""), Err(Ended::Unenrolled { .. })));
        let json = format!(r#"{{"code":"{UNRECOGNIZED}"}}"#);
        assert!(matches!(ended(403, &json), Err(Ended::Unenrolled { .. })));
        let plist = format!(
            r#"<?xml version="1.0"?><plist version="1.0"><dict><key>code</key><string>{UNRECOGNIZED}</string></dict></plist>"#
        );
        assert!(matches!(ended(403, &plist), Err(Ended::Unenrolled { .. })));
        for (status, body) in [
            (403, ""),
            (403, r#"{"code":"other"}"#),
            (400, ""),
            (404, ""),
            (500, ""),
        ] {
            let after = Some(Duration::from_secs(9));
            assert!(
                matches!(ended(status, body), Err(Ended::Trouble { after: found, .. }) if found == after)
            );
        }
    }
}
