//! The status of a PushCertificate, and what there is to tell. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::condition::{ConditionType, Reason, Statement, merge};
use crate::api::{PushCertificate, PushCertificateStatus};
use crate::controllers::events::News;
use crate::push::{Expiry, HeldCertificate};

/// What to do about it.
const ADVICE: &str = "renew it at identity.apple.com/pushcert with the Apple Account that made it: `provost push certificate request` begins";

/// Builds the status from the old one, and the news if the certificate has come nearer to its end, or away from it.
pub(super) fn build(
    object: &PushCertificate,
    certificate: &HeldCertificate,
    now: Timestamp,
) -> (PushCertificateStatus, Option<News>) {
    let old = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let expiry = Expiry::of(certificate.not_before, certificate.not_after, now);
    let statements = statements(expiry, certificate);
    let status = PushCertificateStatus {
        observed_generation: generation.unwrap_or_else(crate::api::unobserved),
        conditions: merge(&old.conditions, &statements, generation, now),
        not_before: Some(Time(certificate.not_before)),
        not_after: Some(Time(certificate.not_after)),
    };
    let reason = |status: &PushCertificateStatus| {
        let conditions = status.conditions.iter();
        let expiring = conditions.filter(|condition| condition.type_ == "Expiring");
        expiring.map(|condition| condition.reason.clone()).next()
    };
    let (before, after) = (reason(&old), reason(&status));
    let is_good = expiry == Expiry::Far;
    // That a new one is far from its end is no news.
    let is_news = before != after && !(before.is_none() && is_good);
    let news = statements.last().filter(|_| is_news).map(|expiring| News {
        is_good,
        reason: if is_good {
            "Renewed"
        } else {
            expiring.reason.into()
        },
        action: "Watch",
        note: expiring.message.clone(),
    });
    (status, news)
}

/// `Ready`, then `Expiring`. The texts stay the same from one warning to the next.
fn statements(expiry: Expiry, certificate: &HeldCertificate) -> [Statement; 2] {
    let end = format!("{:.0}", certificate.not_after);
    let ready =
        |reason, message: String| Statement::new(ConditionType::Ready, expiry.is_good(), reason, message);
    let expiring = |holds: bool, reason, message: String| {
        Statement::new(ConditionType::Expiring, holds, reason, message)
    };
    let good = || {
        ready(
            Reason::Succeeded,
            format!("devices are woken with it until {end}"),
        )
    };
    match expiry {
        Expiry::Far => [
            good(),
            expiring(false, Reason::Succeeded, format!("it ends {end}")),
        ],
        Expiry::Within(days) => {
            let reason = match days {
                ..=7 => Reason::ExpiresWithin7Days,
                8..=30 => Reason::ExpiresWithin30Days,
                _ => Reason::ExpiresWithin60Days,
            };
            let message = format!("it ends {end}, within {days} days, and then no device is woken; {ADVICE}");
            [good(), expiring(true, reason, message)]
        }
        Expiry::Ended => {
            let message = format!("it ended {end}, and no device is woken; {ADVICE}");
            [
                ready(Reason::Expired, message.clone()),
                expiring(true, Reason::Expired, message),
            ]
        }
        Expiry::NotYet => {
            let message = format!("it is good only from {:.0} on", certificate.not_before);
            [
                ready(Reason::NotYetValid, message.clone()),
                expiring(false, Reason::NotYetValid, message),
            ]
        }
    }
}
