//! What each fuzz target does with its bytes: the parser that meets them first, and what must hold of the result. The package's own tests
//! run the same functions over the corpus.

use std::sync::LazyLock;

use jiff::Timestamp;
use provost::api::crds;
use provost::api::schema::CompiledSchema;
use provost::clock::SeededEntropy;
use provost::compliance::Facts;
use provost::enrollment::Dialect;
use provost::enrollment::scep::message::Request;
use provost::enrollment::transfer::{Intake, Numbered, Record};
use provost::expression::Program;
use provost::gitops::fetch::SourceFile;
use provost::gitops::read::read_documents;
use provost::gitops::validate::SchemaSet;
use provost::gitops::verify::{Demand, KeyRing, RawObjects, RawTag};
use provost::ids::CommandUuid;
use provost::kubeapi::apply::{ApplyRequest, ResetFields, TypeInfo, apply};
use provost::kubeapi::decode::decode;
use provost::kubeapi::patch::{json_patch, merge_patch, strategic_merge_patch};
use provost::mdm::checkin::CheckIn;
use provost::mdm::commands::{CommandReport, RawCommand};
use provost::mdm::ddm::{Endpoint, StatusReport};
use provost::mdm::plist::{read, read_dictionary, to_json, to_xml};
use provost::pki::cms::{CipherPolicy, Content, HashPolicy, Recipient};
use provost::pki::cms::{claimed_attributes, claimed_chain, envelope, verify};
use provost::pki::csr::CertificateRequest;
use serde_json::json;

/// What a target does with its bytes.
type Target = fn(&[u8]);

/// Every target by its name.
pub(super) const TARGETS: [(&str, Target); 16] = [
    ("certificate_request", certificate_request),
    ("check_in", check_in),
    ("command_report", command_report),
    ("endpoint", endpoint),
    ("expression", expression),
    ("git_signature", git_signature),
    ("import_lines", import_lines),
    ("kubernetes_body", kubernetes_body),
    ("patch", patch),
    ("plist", plist),
    ("policy_file", policy_file),
    ("raw_command", raw_command),
    ("scep_envelope", scep_envelope),
    ("scep_message", scep_message),
    ("signed_message", signed_message),
    ("status_report", status_report),
];

/// A body of any kind.
pub(super) fn plist(bytes: &[u8]) {
    if let Ok(value) = read(bytes) {
        let _ = to_json(&value);
        assert!(!to_xml(&value).is_empty(), "what was read cannot be written");
    }
}

/// A check-in message.
pub(super) fn check_in(bytes: &[u8]) {
    if let Ok(message) = read_dictionary(bytes) {
        let _ = CheckIn::read(&message);
    }
}

/// A message of the command channel.
pub(super) fn command_report(bytes: &[u8]) {
    if let Ok(message) = read_dictionary(bytes) {
        let _ = CommandReport::read(&message);
    }
}

/// A command that a script queues as it is.
pub(super) fn raw_command(bytes: &[u8]) {
    let Ok(command) = RawCommand::read(bytes) else {
        return;
    };
    let uuid = match CommandUuid::parse("c-1") {
        Ok(uuid) => uuid,
        Err(error) => panic!("{error}"),
    };
    let again = RawCommand::read(command.body(&uuid).as_bytes());
    assert!(
        again.is_ok_and(|again| again.request_type() == command.request_type()),
        "what would be sent is another command"
    );
}

/// A file of enrolments that move in.
pub(super) fn import_lines(bytes: &[u8]) {
    let Ok(intake) = Intake::read(bytes) else {
        panic!("bytes in memory cannot be read");
    };
    let (records, _) = intake.finish();
    for Numbered { record, .. } in records {
        let line = record.line();
        let again = Record::read(line.reveal().trim_end());
        assert!(
            again.is_ok_and(|again| again.id == record.id),
            "what is written of an enrolment is not it"
        );
    }
}

/// The `Endpoint` of a DeclarativeManagement message.
pub(super) fn endpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(Endpoint::Declaration { identifier, .. }) = Endpoint::parse(text) {
        assert!(
            text.ends_with(identifier),
            "an identifier that the device did not send"
        );
        assert!(
            identifier
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | ".."))
        );
    }
}

/// A status report.
pub(super) fn status_report(bytes: &[u8]) {
    let Ok(report) = StatusReport::read(Some(bytes)) else {
        return;
    };
    let mut facts = Facts::default();
    let _ = facts.status_report(&report.value, Timestamp::UNIX_EPOCH);
}

/// A certificate request.
pub(super) fn certificate_request(bytes: &[u8]) {
    let _ = CertificateRequest::read(bytes);
}

/// What the seeds of [`signed_message`] sign.
const SIGNED_BODY: &[u8] = b"body";

/// A signed message, as `Mdm-Signature` carries one: over a body beside it.
pub(super) fn signed_message(bytes: &[u8]) {
    let chain = claimed_chain(bytes);
    let strict = verify(bytes, Content::Detached(SIGNED_BODY), HashPolicy::Strong);
    let lenient = verify(bytes, Content::Detached(SIGNED_BODY), HashPolicy::AllowSha1);
    if let Ok(strict) = strict {
        let lenient = lenient.map(|signed| signed.signer);
        assert_eq!(
            lenient,
            Ok(strict.signer),
            "a policy that allows more refuses, or finds somebody else"
        );
    } else if let Ok(lenient) = lenient {
        let claimed = chain.map(|chain| chain.first().cloned());
        assert_eq!(
            claimed,
            Ok(Some(lenient.signer)),
            "another has signed than was judged"
        );
    }
}

/// A message of SCEP, up to what is encrypted in it.
pub(super) fn scep_message(bytes: &[u8]) {
    let _ = claimed_attributes(bytes);
    let strict = Request::read(bytes, Dialect::Strict);
    let legacy = Request::read(bytes, Dialect::Legacy);
    assert!(
        strict.is_err() || legacy.is_ok(),
        "a dialect that allows more refuses: {legacy:?}"
    );
}

/// What is encrypted in a message of SCEP, by somebody who knows the authority's certificate, as everybody does.
pub(super) fn scep_envelope(bytes: &[u8]) {
    // A key that protects nothing: the seeds are encrypted to it.
    static RECIPIENT: LazyLock<Recipient> = LazyLock::new(|| {
        let made = Recipient::new(
            include_bytes!("recipient/certificate.der"),
            include_bytes!("recipient/key.der"),
        );
        match made {
            Ok(recipient) => recipient,
            Err(error) => panic!("{error}"),
        }
    });
    for policy in [CipherPolicy::Strong, CipherPolicy::AllowSingleDes] {
        if let Ok(opened) = envelope::open(&[&*RECIPIENT], bytes, policy, &SeededEntropy::new(1)) {
            let _ = CertificateRequest::read_with(&opened.content, HashPolicy::AllowSha1);
        }
    }
}

/// A file of a policy repository, as the network of git brings it, through the checks of its kinds.
pub(super) fn policy_file(bytes: &[u8]) {
    static SCHEMAS: LazyLock<SchemaSet> = LazyLock::new(|| match SchemaSet::new(&crds::all()) {
        Ok(schemas) => schemas,
        Err(error) => panic!("{error}"),
    });
    let file = SourceFile {
        path: "policy.yaml".to_owned(),
        content: bytes.to_vec(),
    };
    match read_documents(&[file], "default") {
        Ok(documents) => {
            for finding in SCHEMAS.check(&documents) {
                assert!(finding.position.line > 0, "a mistake without a place: {finding}");
            }
        }
        Err(findings) => assert!(!findings.is_empty(), "refused without a reason"),
    }
}

/// A body of the Kubernetes API. The first byte chooses its media type.
pub(super) fn kubernetes_body(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    let media_type = match kind {
        b'y' => "application/apply-patch+yaml",
        b'p' => "application/vnd.kubernetes.protobuf",
        _ => "application/json",
    };
    if let Ok(value) = decode(media_type, body) {
        let json = value.to_string();
        let again = decode("application/json", json.as_bytes());
        // Not equality: the last digit of a long number may change.
        assert!(again.is_ok(), "what was read cannot be read again: {json}");
    }
}

/// A patch of the Kubernetes API, tried on a GitSource in every way that there is, and what comes of it checked by the kind's schema.
pub(super) fn patch(bytes: &[u8]) {
    static SCHEMA: LazyLock<CompiledSchema> = LazyLock::new(|| {
        let definition = crds::all()
            .into_iter()
            .find(|crd| crd.spec.names.kind == "GitSource");
        let version = definition.and_then(|mut crd| crd.spec.versions.pop());
        let schema = version.and_then(|version| version.schema?.open_api_v3_schema);
        match schema.map(|schema| CompiledSchema::compile(&schema)) {
            Some(Ok(schema)) => schema,
            other => panic!("GitSource has no schema: {other:?}"),
        }
    });
    let Ok(patch) = decode("application/json", bytes) else {
        return;
    };
    let object = json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": "GitSource",
        "metadata": {"name": "a", "labels": {"a": "b"}, "finalizers": ["x/y", "x/z"], "managedFields": []},
        "spec": {"url": "https://example.com/a.git", "interval": "1m"},
    });
    let types = TypeInfo::custom(&SCHEMA);
    let applied = apply(&ApplyRequest {
        live: Some(&object),
        config: &patch,
        types,
        manager: "fuzz",
        api_version: "provost.dev/v1alpha1",
        subresource: "",
        reset: ResetFields::Status,
        force: true,
        now: Timestamp::UNIX_EPOCH,
    });
    let patched = [
        json_patch(&object, &patch).ok(),
        merge_patch(&object, &patch).ok(),
        strategic_merge_patch(&object, &patch).ok(),
        applied.ok(),
    ];
    for mut object in patched.into_iter().flatten() {
        SCHEMA.prune(&mut object);
        SCHEMA.default(&mut object);
        let _ = SCHEMA.validate(&object, None);
        let pruned = object.clone();
        assert!(
            SCHEMA.prune(&mut object).is_empty(),
            "something was left to prune"
        );
        assert_eq!(object, pruned);
    }
}

/// A CEL expression of a policy, evaluated on a device.
pub(super) fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(program) = Program::compile(text, &["device", "SecurityInfo"]) else {
        return;
    };
    let device = json!({
        "platform": "macOS", "osVersion": "15.4.1", "labels": {"team": "lab", "n": "7"},
        "list": [1, 2.5, "x", null, {"a": true}], "n": 3, "big": i64::MAX,
    });
    let first = program.evaluate(&[("device", &device)]);
    let again = program.evaluate(&[("device", &device)]);
    assert_eq!(
        format!("{first:?}"),
        format!("{again:?}"),
        "the same question has two answers"
    );
}

/// A commit and, after a zero byte, which no commit holds, an entry of a Secret with keys.
pub(super) fn git_signature(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (object, keys) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let tag = RawTag {
        name: "v1".to_owned(),
        object: Some(object.to_vec()),
    };
    let objects = RawObjects {
        commit: object.to_vec(),
        tag: Some(tag),
    };
    for entry in ["a.asc", "a.sshpub", "allowed_signers"] {
        let ring = KeyRing::read([(entry, keys)]).unwrap_or_default();
        for head in [true, false] {
            let demand = Demand {
                head,
                tag: !head,
                ..Demand::default()
            };
            let _ = provost::gitops::verify::verify("0", &objects, &ring, &demand);
        }
    }
}
