//! Status reports, and what they prove.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compliance::DeclarationState;
use crate::ids::PROFILE_PREFIX;
use crate::policy::Manifest;

/// Status items that let somebody wake the device in our place. They never become facts.
const SECRET_ITEMS: [&str; 2] = ["push-magic", "push-token"];

/// Why a body is no status report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("the status report is empty")]
    Empty,
    /// It is no JSON.
    #[error("the status report is not JSON")]
    Json(#[source] serde_json::Error),
    /// It is no object.
    #[error("the status report is not an object")]
    NoObject,
    /// It is an object of another kind.
    #[error("this is no status report: {0}")]
    Refused(String),
}

/// A status report.
#[derive(Debug, PartialEq)]
pub struct StatusReport {
    /// The whole of it, without secrets and capabilities.
    pub value: Value,
    /// `device.operating-system.version`.
    pub os_version: Option<String>,
    /// `device.operating-system.build-version`.
    pub build_version: Option<String>,
    /// `management.client-capabilities`.
    pub capabilities: Option<Value>,
}

impl StatusReport {
    /// Reads a status report. The JSON parser bounds the depth by itself.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn read(data: Option<&[u8]>) -> Result<Self, Error> {
        let mut value: Value = serde_json::from_slice(data.ok_or(Error::Empty)?).map_err(Error::Json)?;
        if !value.is_object() {
            return Err(Error::NoObject);
        }
        if let Some(mdm) = value
            .pointer_mut("/StatusItems/mdm")
            .and_then(Value::as_object_mut)
        {
            for item in SECRET_ITEMS {
                mdm.remove(item);
            }
        }
        let system = |item: &str| {
            value
                .pointer(&format!("/StatusItems/device/operating-system/{item}"))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let (os_version, build_version) = (system("version"), system("build-version"));
        let capabilities = value
            .pointer_mut("/StatusItems/management")
            .and_then(|management| management.as_object_mut()?.remove("client-capabilities"));
        Ok(Self {
            value,
            os_version,
            build_version,
            capabilities,
        })
    }
}

/// Whether the reported `declarations` are exactly those of `manifest`: each one in the revision that the manifest names and valid, and none
/// left that it does not name. Whether a declaration is active is no part of it: a predicate may rightly hold it back.
#[must_use]
pub fn declarations_proven(manifest: &Manifest, declarations: &BTreeMap<String, DeclarationState>) -> bool {
    declarations.len() == manifest.declarations.len()
        && manifest.declarations.iter().all(|wanted| {
            declarations
                .get(&*wanted.identifier)
                .is_some_and(|held| held.server_token == *wanted.server_token && held.valid == "valid")
        })
}

/// Whether the `installed` profiles (`PayloadUUID` by `PayloadIdentifier`) are those of `manifest`: each one in its revision, and none of
/// Provost's left that it does not name. Profiles of others do not matter.
#[must_use]
pub fn profiles_proven(manifest: &Manifest, installed: &BTreeMap<String, String>) -> bool {
    let held = |identifier: &str, uuid: &str| {
        installed
            .get(identifier)
            .is_some_and(|installed| installed.eq_ignore_ascii_case(uuid))
    };
    let ours = installed
        .keys()
        .filter(|identifier| identifier.starts_with(PROFILE_PREFIX));
    manifest
        .profiles
        .iter()
        .all(|profile| held(&profile.identifier, &profile.uuid))
        && ours.into_iter().all(|identifier| {
            manifest
                .profiles
                .iter()
                .any(|profile| *profile.identifier == **identifier)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::policy::{Declaration, ProfileDocument, Section};

    fn manifest() -> Manifest {
        Manifest {
            id: Digest::of(b"m"),
            declarations_token: "t".into(),
            declarations: vec![Declaration {
                section: Section::Configurations,
                identifier: "conf".into(),
                server_token: "s-2".into(),
                body: "{}".into(),
            }],
            profiles: vec![ProfileDocument {
                identifier: "dev.provost.profile.a".into(),
                uuid: "U-2".into(),
                digest: Digest::of(b"p"),
                body: "<plist/>".into(),
            }],
            users: None,
        }
    }

    fn held(identifier: &str, token: &str, valid: &str) -> (String, DeclarationState) {
        let state = DeclarationState {
            server_token: token.into(),
            active: false,
            valid: valid.into(),
            reasons: Vec::new(),
        };
        (identifier.into(), state)
    }

    #[test]
    fn a_device_proves_its_declarations_by_identifier_token_and_validity() {
        let proves = |held: &[(String, DeclarationState)]| {
            declarations_proven(&manifest(), &held.iter().cloned().collect())
        };
        assert!(proves(&[held("conf", "s-2", "valid")]));
        assert!(!proves(&[]));
        assert!(!proves(&[held("conf", "s-1", "valid")]));
        assert!(!proves(&[held("conf", "s-2", "invalid")]));
        assert!(!proves(&[held("conf", "s-2", "unknown")]));
        assert!(!proves(&[
            held("conf", "s-2", "valid"),
            held("stale", "s-1", "valid")
        ]));
    }

    #[test]
    fn a_device_proves_its_profiles_by_uuid_and_by_holding_no_stale_one() {
        let proves = |installed: &[(&str, &str)]| {
            let installed = installed.iter().map(|(i, u)| ((*i).into(), (*u).into()));
            profiles_proven(&manifest(), &installed.collect())
        };
        assert!(proves(&[
            ("dev.provost.profile.a", "U-2"),
            ("com.example.own", "X")
        ]));
        assert!(proves(&[("dev.provost.profile.a", "u-2")]));
        assert!(!proves(&[("dev.provost.profile.a", "U-1")]));
        assert!(!proves(&[
            ("dev.provost.profile.a", "U-2"),
            ("dev.provost.profile.b", "U-1")
        ]));
        assert!(!proves(&[("com.example.own", "X")]));
    }

    #[test]
    fn a_push_address_in_a_status_report_is_cut_out() {
        let report = StatusReport::read(Some(
            br#"{"StatusItems":{"mdm":{"push-magic":"M","push-token":"T","is-shared-ipad":false},
                 "device":{"operating-system":{"version":"15.4","build-version":"24E263"}}}}"#,
        ))
        .unwrap();
        assert_eq!(
            report.value.pointer("/StatusItems/mdm"),
            Some(&serde_json::json!({"is-shared-ipad": false}))
        );
        assert_eq!(report.os_version.as_deref(), Some("15.4"));
        assert_eq!(report.build_version.as_deref(), Some("24E263"));
    }

    #[test]
    fn capabilities_are_no_facts() {
        let report = StatusReport::read(Some(
            br#"{"StatusItems":{"management":{"client-capabilities":{"supported-versions":["1.0.0"]},"declarations":{}}}}"#,
        ))
        .unwrap();
        assert_eq!(
            report.capabilities,
            Some(serde_json::json!({"supported-versions": ["1.0.0"]}))
        );
        assert_eq!(
            report.value,
            serde_json::json!({"StatusItems": {"management": {"declarations": {}}}})
        );
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert!(matches!(StatusReport::read(None), Err(Error::Empty)));
        assert!(matches!(StatusReport::read(Some(b"{")), Err(Error::Json(_))));
        assert!(matches!(StatusReport::read(Some(b"[]")), Err(Error::NoObject)));
        let deep = "[".repeat(100_000);
        assert!(matches!(
            StatusReport::read(Some(deep.as_bytes())),
            Err(Error::Json(_))
        ));
    }
}
