use super::*;

/// Makes a key of a kind; gives its public half.
fn key(workshop: &Workshop, name: &str, kind: &[&str]) -> String {
    let file = workshop.path().join(name);
    let make = ["-q", "-N", "", "-C", "ada's laptop", "-f", file.to_str().unwrap()];
    workshop.run("ssh-keygen", &[&make, kind].concat());
    std::fs::read_to_string(file.with_extension("pub"))
        .unwrap()
        .trim()
        .to_owned()
}

/// The settings that make git sign with a key.
fn signing(workshop: &Workshop, name: &str) -> [String; 4] {
    let file = workshop.path().join(name);
    [
        "-c".into(),
        "gpg.format=ssh".into(),
        "-c".into(),
        format!("user.signingkey={}", file.display()),
    ]
}

fn commit(workshop: &Workshop, name: &str) -> (String, RawObjects) {
    let settings = signing(workshop, name);
    workshop.commit(&settings.each_ref().map(String::as_str), &["-S"]);
    workshop.head()
}

fn tag(workshop: &Workshop, key: &str, name: &str, target: &str) {
    let settings = signing(workshop, key);
    let settings = settings.each_ref().map(String::as_str);
    workshop.git(&[&settings[..], &["tag", "-f", "-s", "-m", "Release", name, target]].concat());
}

fn allowed(line: &str) -> KeyRing {
    KeyRing::read([("allowed_signers", line.as_bytes())]).unwrap()
}

#[test]
fn commits_by_listed_keys_of_every_kind_count() {
    let workshop = Workshop::new();
    let kinds: [(&str, &[&str]); 5] = [
        ("ed25519", &["-t", "ed25519"]),
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("p521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
    ];
    for (name, kind) in kinds {
        let public = key(&workshop, name, kind);
        let given = commit(&workshop, name);
        let signed = check(
            &given,
            &allowed(&format!("ada@example.com namespaces=\"git\" {public}")),
            &head_demand(),
        );
        let fingerprint = workshop.run("ssh-keygen", &["-l", "-f", &format!("{name}.pub")]);
        let fingerprint = String::from_utf8(fingerprint).unwrap();
        let fingerprint = fingerprint.split(' ').nth(1).unwrap();
        let kind = public.split(' ').next().unwrap();
        assert_eq!(
            signed.unwrap(),
            format!("the commit by ada@example.com ({kind} {fingerprint})")
        );
        let ring = KeyRing::read([("ada.sshpub", public.as_bytes())]).unwrap();
        let signed = check(&given, &ring, &head_demand()).unwrap();
        assert_eq!(
            signed,
            format!("the commit by ada's laptop ({kind} {fingerprint})")
        );
    }
}

#[test]
fn what_is_unsigned_foreign_or_copied_does_not() {
    let workshop = Workshop::new();
    let public = key(&workshop, "ada", &["-t", "ed25519"]);
    key(&workshop, "eve", &["-t", "ed25519"]);
    let ring = allowed(&format!("ada@example.com {public}"));
    let good = commit(&workshop, "ada");
    assert!(check(&good, &ring, &head_demand()).is_ok());

    // After the signed one.
    workshop.commit(&[], &[]);
    let unsigned = check(&workshop.head(), &ring, &head_demand()).unwrap_err();
    assert!(
        unsigned
            .to_string()
            .ends_with("is not signed; it must be, with one of 1 SSH keys"),
        "{unsigned}"
    );

    let foreign = check(&commit(&workshop, "eve"), &ring, &head_demand()).unwrap_err();
    assert!(
        matches!(&foreign, Refusal::UnknownKey { key, .. } if key.starts_with("ssh-ed25519 SHA256:")),
        "{foreign}"
    );

    // The signature of one commit on another: git takes it without a word.
    let text = String::from_utf8(good.1.commit).unwrap();
    let pasted = text.replace("Tighten", "Loosen");
    let pasted = RawObjects {
        commit: pasted.into_bytes(),
        tag: None,
    };
    let refused = check(&(good.0.clone(), pasted), &ring, &head_demand()).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("does not count: it is not one over this content"),
        "{refused}"
    );
    // Nor is another author.
    let other = RawObjects {
        commit: text.replace("author Ada", "author Eve").into_bytes(),
        tag: None,
    };
    assert!(matches!(
        check(&(good.0, other), &ring, &head_demand()),
        Err(Refusal::BadSignature { .. })
    ));
}

#[test]
fn a_signature_for_something_else_is_none_for_git() {
    let workshop = Workshop::new();
    let public = key(&workshop, "ada", &["-t", "ed25519"]);
    let ring = allowed(&format!("ada@example.com {public}"));
    workshop.commit(&[], &[]);
    let (commit, objects) = workshop.head();
    std::fs::write(workshop.path().join("payload"), &objects.commit).unwrap();
    let signed_for = |namespace: &str, options: &[&str]| {
        let _ = std::fs::remove_file(workshop.path().join("payload.sig"));
        let sign = ["-q", "-Y", "sign", "-f", "ada", "-n", namespace];
        workshop.run("ssh-keygen", &[&sign, options, &["payload"]].concat());
        let signature = std::fs::read_to_string(workshop.path().join("payload.sig")).unwrap();
        let header = format!("gpgsig {}\n", signature.trim_end().replace('\n', "\n "));
        let text =
            String::from_utf8(objects.commit.clone())
                .unwrap()
                .replacen("\n\n", &format!("\n{header}\n"), 1);
        (
            commit.clone(),
            RawObjects {
                commit: text.into_bytes(),
                tag: None,
            },
        )
    };
    assert!(check(&signed_for("git", &[]), &ring, &head_demand()).is_ok());
    assert!(
        check(
            &signed_for("git", &["-O", "hashalg=sha256"]),
            &ring,
            &head_demand()
        )
        .is_ok()
    );
    let refused = check(&signed_for("file", &[]), &ring, &head_demand()).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("does not count: it is for `file`, not for `git`"),
        "{refused}"
    );
    let only_files = allowed(&format!("ada@example.com namespaces=\"file\" {public}"));
    let refused = check(&signed_for("git", &[]), &only_files, &head_demand()).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("the list allows the key for other things than git"),
        "{refused}"
    );
}

#[test]
fn a_key_counts_from_and_until_the_time_that_its_line_says() {
    let workshop = Workshop::new();
    let public = key(&workshop, "ada", &["-t", "ed25519"]);
    // The date of a commit is what its author claims: it opens no door.
    workshop.run("git", &["config", "user.name", "x"]);
    let given = commit(&workshop, "ada");
    let ring = allowed(&format!(
        "ada valid-after=\"20200101Z\",valid-before=\"20260301Z\" {public}"
    ));
    let at = |time: &str| Demand {
        at: time.parse().unwrap(),
        ..head_demand()
    };
    assert!(check(&given, &ring, &at("2026-02-28T23:59:59Z")).is_ok());
    let expired = check(&given, &ring, &at("2026-03-01T00:00:00Z")).unwrap_err();
    assert!(
        expired
            .to_string()
            .ends_with("the key expired at 2026-03-01T00:00:00Z"),
        "{expired}"
    );
    let early = check(&given, &ring, &at("2019-12-31T00:00:00Z")).unwrap_err();
    assert!(
        early
            .to_string()
            .ends_with("the key is valid only from 2020-01-01T00:00:00Z"),
        "{early}"
    );
    // Another line for the same key may still allow it.
    let both = allowed(&format!("ada valid-before=\"20260301Z\" {public}\nada {public}"));
    assert!(check(&given, &both, &at("2026-03-01T00:00:00Z")).is_ok());
}

#[test]
fn a_signed_tag_is_for_its_name_and_its_commit() {
    let workshop = Workshop::new();
    let public = key(&workshop, "ada", &["-t", "ed25519"]);
    let ring = allowed(&format!("ada@example.com {public}"));
    workshop.commit(&[], &[]);
    tag(&workshop, "ada", "v1", "HEAD");
    let signed = check(&workshop.tag("v1"), &ring, &tag_demand()).unwrap();
    assert!(signed.starts_with("the tag by ada@example.com ("), "{signed}");
    // Its commit is not signed, and both are asked for.
    let both = Demand {
        head: true,
        ..tag_demand()
    };
    assert!(
        matches!(check(&workshop.tag("v1"), &ring, &both), Err(Refusal::Unsigned { what, .. }) if what.starts_with("commit"))
    );
    commit(&workshop, "ada");
    tag(&workshop, "ada", "v2", "HEAD");
    let signed = check(&workshop.tag("v2"), &ring, &both).unwrap();
    assert!(signed.contains(", the commit by "), "{signed}");

    // Moved to a commit without being signed anew: it has become a plain name.
    workshop.git(&["tag", "-f", "v2", "HEAD~1"]);
    assert_eq!(
        check(&workshop.tag("v2"), &ring, &tag_demand()),
        Err(Refusal::NoTagObject { tag: "v2".into() })
    );
    // Moved to the tag object of another release.
    workshop.git(&["update-ref", "refs/tags/v2", "refs/tags/v1"]);
    let other = Refusal::OtherTag {
        tag: "v2".into(),
        signed: "v1".into(),
    };
    assert_eq!(check(&workshop.tag("v2"), &ring, &tag_demand()), Err(other));
    // The signed tag, with another commit under it.
    let (_, objects) = workshop.tag("v1");
    let elsewhere = ("0".repeat(40), objects.clone());
    assert!(matches!(
        check(&elsewhere, &ring, &tag_demand()),
        Err(Refusal::OtherTarget { .. })
    ));
    // Moved, annotated, unsigned.
    workshop.git(&["tag", "-f", "-a", "-m", "x", "v1", "HEAD"]);
    assert!(matches!(
        check(&workshop.tag("v1"), &ring, &tag_demand()),
        Err(Refusal::Unsigned { .. })
    ));
    assert_eq!(
        check(&workshop.head(), &ring, &tag_demand()),
        Err(Refusal::NotATag)
    );
}

#[test]
fn whoever_wrote_it_has_to_be_listed_too_where_there_is_a_list() {
    let workshop = Workshop::new();
    let public = key(&workshop, "ada", &["-t", "ed25519"]);
    let ring = allowed(&format!("ada@example.com {public}"));
    let by = |authors: &[&str]| Demand {
        authors: authors.iter().map(|author| (*author).to_owned()).collect(),
        ..head_demand()
    };
    let given = commit(&workshop, "ada");
    assert!(check(&given, &ring, &by(&["bob@example.com", "ADA@example.com"])).is_ok());
    let refused = check(&given, &ring, &by(&["bob@example.com"])).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("is by <ada@example.com>, who is not among spec.verify.authors"),
        "{refused}"
    );
}
