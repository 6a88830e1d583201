use super::*;

/// Whether `gpg` is there. Where it is not, the certificate and the commit that were made once still tell most of it.
fn is_installed() -> bool {
    let found = Command::new("gpg").arg("--version").output();
    found.is_ok_and(|ran| ran.status.success())
}

struct Person<'w> {
    workshop: &'w Workshop,
    fingerprint: String,
}

impl<'w> Person<'w> {
    /// Makes a key: `kind` as `gpg --quick-generate-key` has it.
    fn new(workshop: &'w Workshop, name: &str, kind: &str, expires: &str) -> Self {
        let user = format!("{name} <{name}@example.com>");
        gpg(
            workshop,
            &["--quick-generate-key", &user, kind, "cert,sign", expires],
        );
        Self::known(workshop, name)
    }

    fn known(workshop: &'w Workshop, name: &str) -> Self {
        let listed = gpg(
            workshop,
            &["--with-colons", "--list-keys", &format!("{name}@example.com")],
        );
        let fingerprint = listed
            .lines()
            .find_map(|line| line.strip_prefix("fpr:::::::::"))
            .unwrap();
        Self {
            workshop,
            fingerprint: fingerprint.trim_end_matches(':').to_owned(),
        }
    }

    fn certificate(&self) -> String {
        gpg(self.workshop, &["--armor", "--export", &self.fingerprint])
    }

    fn ring(&self) -> KeyRing {
        KeyRing::read([("ada.asc", self.certificate().as_bytes())]).unwrap()
    }

    fn commit(&self) -> (String, RawObjects) {
        let key = format!("user.signingkey={}", self.fingerprint);
        self.workshop.commit(&["-c", &key], &["-S"]);
        self.workshop.head()
    }
}

fn gpg(workshop: &Workshop, arguments: &[&str]) -> String {
    let quiet = [
        "--batch",
        "--yes",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
        "--trust-model",
        "always",
    ];
    String::from_utf8(workshop.run("gpg", &[&quiet, arguments].concat())).unwrap()
}

impl Drop for Person<'_> {
    fn drop(&mut self) {
        // Its agent would outlive the folder of its keys.
        let _ = Command::new("gpgconf")
            .args(["--kill", "all"])
            .env("GNUPGHOME", self.workshop.path())
            .output();
    }
}

#[test]
fn commits_and_tags_by_certificates_of_every_kind_count() {
    if !is_installed() {
        return;
    }
    for kind in ["ed25519", "rsa2048", "nistp256", "nistp384", "nistp521"] {
        let workshop = Workshop::new();
        let ada = Person::new(&workshop, "ada", kind, "1y");
        let signed = check(&ada.commit(), &ada.ring(), &head_demand());
        let by = format!("ada <ada@example.com> ({})", ada.fingerprint);
        assert_eq!(signed.unwrap(), format!("the commit by {by}"), "{kind}");
        workshop.git(&["tag", "-s", "-m", "Release", "-u", &ada.fingerprint, "v1"]);
        assert_eq!(
            check(&workshop.tag("v1"), &ada.ring(), &tag_demand()).unwrap(),
            format!("the tag by {by}")
        );
    }
}

#[test]
fn a_subkey_signs_for_its_certificate_as_long_as_it_may() {
    if !is_installed() {
        return;
    }
    let workshop = Workshop::new();
    let ada = Person::new(&workshop, "ada", "ed25519", "never");
    gpg(
        &workshop,
        &["--quick-add-key", &ada.fingerprint, "ed25519", "sign", "10d"],
    );
    gpg(
        &workshop,
        &["--quick-add-key", &ada.fingerprint, "cv25519", "encr", "10d"],
    );
    let given = ada.commit();
    let signed = check(&given, &ada.ring(), &head_demand()).unwrap();
    assert_eq!(
        signed,
        format!("the commit by ada <ada@example.com> ({})", ada.fingerprint)
    );
    let late = Demand {
        at: now() + days(11),
        ..head_demand()
    };
    let refused = check(&given, &ada.ring(), &late).unwrap_err();
    assert!(refused.to_string().contains("the key expired at"), "{refused}");
}

#[test]
fn an_expired_key_signs_nothing_new_and_takes_nothing_back() {
    if !is_installed() {
        return;
    }
    let workshop = Workshop::new();
    let ada = Person::new(&workshop, "ada", "ed25519", "10d");
    let given = ada.commit();
    let ring = ada.ring();
    let later = Demand {
        at: now() + days(11),
        now: now() + days(11),
        ..head_demand()
    };
    let refused = check(&given, &ring, &later).unwrap_err();
    assert!(refused.to_string().contains("the key expired at"), "{refused}");
    // What came into force while the key was good.
    assert!(
        check(
            &given,
            &ring,
            &Demand {
                at: now(),
                ..later.clone()
            }
        )
        .is_ok()
    );
    // The owner makes it last longer: the newest word counts.
    gpg(&workshop, &["--quick-set-expire", &ada.fingerprint, "1y"]);
    assert!(check(&given, &ada.ring(), &later).is_ok());
}

#[test]
fn a_revoked_key_signs_nothing() {
    if !is_installed() {
        return;
    }
    let workshop = Workshop::new();
    let ada = Person::new(&workshop, "ada", "ed25519", "never");
    let given = ada.commit();
    assert!(check(&given, &ada.ring(), &head_demand()).is_ok());
    let file = workshop
        .path()
        .join(format!("openpgp-revocs.d/{}.rev", ada.fingerprint));
    let revocation = std::fs::read_to_string(&file)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    std::fs::write(&file, revocation).unwrap();
    gpg(&workshop, &["--import", file.to_str().unwrap()]);
    let before = Demand {
        at: now() - days(1),
        ..head_demand()
    };
    for demand in [head_demand(), before] {
        let refused = check(&given, &ada.ring(), &demand).unwrap_err();
        assert!(
            refused.to_string().contains("the key was revoked at"),
            "{refused}"
        );
    }
}

#[test]
fn weak_hashes_other_people_and_other_content_do_not_count() {
    if !is_installed() {
        return;
    }
    let workshop = Workshop::new();
    let ada = Person::new(&workshop, "ada", "rsa2048", "never");
    let eve = Person::new(&workshop, "eve", "ed25519", "never");
    let foreign = check(&eve.commit(), &ada.ring(), &head_demand()).unwrap_err();
    assert!(
        matches!(&foreign, Refusal::UnknownKey { key, .. } if key.contains(&eve.fingerprint)),
        "{foreign}"
    );

    let good = ada.commit();
    let text = String::from_utf8(good.1.commit)
        .unwrap()
        .replace("Tighten", "Loosen");
    let pasted = (
        good.0,
        RawObjects {
            commit: text.into_bytes(),
            tag: None,
        },
    );
    let refused = check(&pasted, &ada.ring(), &head_demand()).unwrap_err();
    assert!(
        refused.to_string().ends_with("it is not one over this content"),
        "{refused}"
    );

    std::fs::write(
        workshop.path().join("gpg.conf"),
        "digest-algo SHA1\nweak-digest MD5\n",
    )
    .unwrap();
    let weak = check(&ada.commit(), &ada.ring(), &head_demand()).unwrap_err();
    assert!(
        weak.to_string()
            .ends_with("it uses the hash SHA-1, which is broken"),
        "{weak}"
    );
    std::fs::write(workshop.path().join("gpg.conf"), "cert-digest-algo SHA1\n").unwrap();
    let bob = Person::new(&workshop, "bob", "rsa2048", "never");
    let weak = check(&bob.commit(), &bob.ring(), &head_demand()).unwrap_err();
    assert!(
        weak.to_string().ends_with(
            "its owner's signature on the key does not count: it uses the hash SHA-1, which is broken"
        ),
        "{weak}"
    );
}
