//! Enrolments, each from a new key to the device that can be woken; then handshakes of those that have enrolled.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use plist::Dictionary;
use tokio::sync::Semaphore;

use super::caller::read_lines;
use super::measure::{Measured, Tally};
use super::run::side_by_side;
use super::{Load, LoadError};
use crate::simulator::enroll::{CertificateRequest, Enrollment, Invitation, PushAddress, announce};
use crate::simulator::link::Link;
use crate::simulator::model::Identity;
use crate::simulator::seed::Seed;
use crate::simulator::session::{REPORT, check, put};
use crate::simulator::trust::Trust;

/// Enrolments to do.
#[derive(Debug)]
pub struct EnrollLoad {
    /// The rights to enrol, one for each device.
    pub invitations: Vec<Invitation>,
    /// The certificates that the server is trusted by, PEM.
    pub ca_pem: String,
    /// The same seed gives the same devices.
    pub seed: u64,
    /// How much of it.
    pub load: Load,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Enrolling {
    /// Enrolments.
    pub enrolments: Measured,
    /// Connections with a client certificate, each with one poll. None: nobody has enrolled.
    pub handshakes: Option<Measured>,
}

/// Reads invitations, as `provost enroll invite --output json` prints them, at most `limit`.
///
/// # Errors
/// When the file cannot be read, a line is none, or there is none.
pub fn read_invitations(path: &Path, limit: Option<usize>) -> Result<Vec<Invitation>, LoadError> {
    read_lines(path, limit, "invitation")
}

/// A certificate request for `name`, DER, by a key that nobody keeps.
///
/// # Errors
/// When it cannot be made.
pub fn certificate_request(name: &str) -> Result<Vec<u8>, LoadError> {
    Ok(CertificateRequest::new(name)?.der().to_vec())
}

/// A device that has enrolled.
struct Enrolled {
    udid: String,
    enrollment: Enrollment,
}

/// What the workers share.
struct Field {
    load: EnrollLoad,
    trust: Trust,
    gate: Arc<Semaphore>,
    anonymous: Arc<rustls::ClientConfig>,
    next: AtomicUsize,
    enrolled: Mutex<Vec<Enrolled>>,
}

/// Enrols one device after the other on every connection until the time is over or the invitations are used up; then has those that have enrolled
/// connect anew and poll, for as long again.
///
/// # Errors
/// When the server's CA cannot be used.
pub async fn enroll(load: EnrollLoad) -> Result<Enrolling, LoadError> {
    let trust = Trust::new(&load.ca_pem)?;
    let field = Arc::new(Field {
        anonymous: Arc::new(trust.anonymous()?),
        gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        next: AtomicUsize::new(0),
        enrolled: Mutex::new(Vec::new()),
        trust,
        load,
    });
    let enrolling = |end| enrol_all(Arc::clone(&field), end);
    let enrolments = side_by_side("enrolments", field.load.load, enrolling).await;
    let enrolled: Arc<[Enrolled]> = std::mem::take(&mut *field.lock()).into();
    let handshakes = if enrolled.is_empty() {
        None
    } else {
        field.next.store(0, Ordering::Relaxed);
        let polling = |end| poll_all(Arc::clone(&field), Arc::clone(&enrolled), end);
        let what = "handshakes with a client certificate, and a poll";
        Some(side_by_side(what, field.load.load, polling).await)
    };
    Ok(Enrolling {
        enrolments,
        handshakes,
    })
}

impl Field {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Enrolled>> {
        self.enrolled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next device.
    fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn enrol(&self, invitation: &Invitation, turn: usize) -> Result<Enrolled, String> {
        let index = u64::try_from(turn).unwrap_or(u64::MAX);
        let mut identity = Identity::draw(self.load.seed, index, 0);
        for (mine, bound) in [
            (&mut identity.udid, &invitation.udid),
            (&mut identity.serial, &invitation.serial),
        ] {
            if let Some(bound) = bound {
                mine.clone_from(bound);
            }
        }
        let request = CertificateRequest::new(&identity.udid).map_err(|error| error.to_string())?;
        let mut link = Link::new(Arc::clone(&self.anonymous), Arc::clone(&self.gate), None);
        let enrollment = request.redeem(invitation, &self.trust, &mut link).await;
        let enrollment = enrollment.map_err(|error| error.to_string())?;
        let mut link = Link::new(Arc::clone(&enrollment.tls), Arc::clone(&self.gate), None);
        let token = Seed::new(self.load.seed, index).bytes();
        let push = PushAddress {
            token: &token,
            magic: "magic",
            user_magic: "magic of the user",
        };
        let announced = announce(&mut link, &enrollment, &identity, &push).await;
        announced.map_err(|error| error.to_string())?;
        Ok(Enrolled {
            udid: identity.udid,
            enrollment,
        })
    }
}

async fn enrol_all(field: Arc<Field>, end: Instant) -> Tally {
    let mut tally = Tally::new();
    while Instant::now() < end {
        let turn = field.turn();
        let Some(invitation) = field.load.invitations.get(turn) else {
            break;
        };
        let started = Instant::now();
        match field.enrol(invitation, turn).await {
            Ok(enrolled) => {
                tally.done(started.elapsed());
                tally.answered();
                field.lock().push(enrolled);
            }
            Err(error) => tally.error(error),
        }
    }
    tally
}

async fn poll_all(field: Arc<Field>, enrolled: Arc<[Enrolled]>, end: Instant) -> Tally {
    let mut tally = Tally::new();
    while Instant::now() < end {
        let turn = field.turn().checked_rem(enrolled.len());
        let Some(Enrolled { udid, enrollment }) = turn.and_then(|turn| enrolled.get(turn)) else {
            break;
        };
        let mut link = Link::new(Arc::clone(&enrollment.tls), Arc::clone(&field.gate), None);
        let idle = [("Status", "Idle"), ("UDID", udid.as_str())];
        let idle = idle.map(|(key, value)| (key.to_owned(), plist::Value::from(value)));
        let started = Instant::now();
        let polled = put(
            &mut link,
            &enrollment.server_url,
            REPORT,
            &Dictionary::from_iter(idle),
        )
        .await;
        match polled.and_then(check) {
            Ok(_) => {
                tally.done(started.elapsed());
                tally.answered();
            }
            Err(error) => tally.error(error.to_string()),
        }
    }
    tally
}
