//! Bodies in Protobuf: kubectl's typed clients (`create namespace`, `create configmap`, `auth can-i`) send nothing else.
//!
//! Only request bodies are read, and only of the kinds that are served here; answers are JSON, which those clients accept.
//! The layout is that of the `generated.proto` files of Kubernetes; an object is wrapped in `runtime.Unknown` behind four
//! magic bytes. Unknown field numbers are skipped. Descriptors are not recursive, so nesting is bounded by them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The first bytes of an encoded object.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// The bytes end in the middle, or are no Protobuf.
    #[error("the Protobuf body is malformed")]
    Malformed,
    /// The kind has no descriptor here.
    #[error("{kind} is not accepted in Protobuf; send JSON")]
    UnknownKind {
        /// The kind in the envelope.
        kind: String,
    },
}

/// How the bytes of a field become JSON.
#[derive(Clone, Copy)]
enum Type {
    Boolean,
    /// A map from strings to bytes (base64 in JSON).
    BytesMap,
    Integer,
    Message(Message),
    Messages(Message),
    /// Seconds and nanoseconds, with microseconds in JSON.
    MicroTime,
    String,
    StringMap,
    Strings,
    /// Seconds and nanoseconds, in whole seconds in JSON.
    Time,
}

/// The fields of a message: number, JSON name, type.
type Message = &'static [(u32, &'static str, Type)];

use Type::{Boolean, BytesMap, Integer, MicroTime, String as Text, StringMap, Strings, Time};

const OWNER: Message = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Boolean),
    (7, "blockOwnerDeletion", Boolean),
];
const METADATA: Message = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Integer),
    (8, "creationTimestamp", Time),
    (9, "deletionTimestamp", Time),
    (11, "labels", StringMap),
    (12, "annotations", StringMap),
    (13, "ownerReferences", Type::Messages(OWNER)),
    (14, "finalizers", Strings),
];
const META: (u32, &str, Type) = (1, "metadata", Type::Message(METADATA));
const CONFIG_MAP: Message = &[
    META,
    (2, "data", StringMap),
    (3, "binaryData", BytesMap),
    (4, "immutable", Boolean),
];
const SECRET: Message = &[
    META,
    (2, "data", BytesMap),
    (3, "type", Text),
    (4, "stringData", StringMap),
    (5, "immutable", Boolean),
];
const NAMESPACE: Message = &[
    META,
    (2, "spec", Type::Message(&[(1, "finalizers", Strings)])),
    (3, "status", Type::Message(&[(1, "phase", Text)])),
];
const REFERENCE: Message = &[
    (1, "kind", Text),
    (2, "namespace", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "resourceVersion", Text),
    (7, "fieldPath", Text),
];
const SERVICE_ACCOUNT: Message = &[
    META,
    (2, "secrets", Type::Messages(REFERENCE)),
    (3, "imagePullSecrets", Type::Messages(&[(1, "name", Text)])),
    (4, "automountServiceAccountToken", Boolean),
];
const RULE: Message = &[
    (1, "verbs", Strings),
    (2, "apiGroups", Strings),
    (3, "resources", Strings),
    (4, "resourceNames", Strings),
    (5, "nonResourceURLs", Strings),
];
const SELECTOR: Message = &[
    (1, "matchLabels", StringMap),
    (
        2,
        "matchExpressions",
        Type::Messages(&[(1, "key", Text), (2, "operator", Text), (3, "values", Strings)]),
    ),
];
const ROLE: Message = &[META, (2, "rules", Type::Messages(RULE))];
const CLUSTER_ROLE: Message = &[
    META,
    (2, "rules", Type::Messages(RULE)),
    (
        3,
        "aggregationRule",
        Type::Message(&[(1, "clusterRoleSelectors", Type::Messages(SELECTOR))]),
    ),
];
const BINDING: Message = &[
    META,
    (
        2,
        "subjects",
        Type::Messages(&[
            (1, "kind", Text),
            (2, "apiGroup", Text),
            (3, "name", Text),
            (4, "namespace", Text),
        ]),
    ),
    (
        3,
        "roleRef",
        Type::Message(&[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)]),
    ),
];
const LEASE: Message = &[
    META,
    (
        2,
        "spec",
        Type::Message(&[
            (1, "holderIdentity", Text),
            (2, "leaseDurationSeconds", Integer),
            (3, "acquireTime", MicroTime),
            (4, "renewTime", MicroTime),
            (5, "leaseTransitions", Integer),
            (6, "strategy", Text),
            (7, "preferredHolder", Text),
        ]),
    ),
];
const RESOURCE_ATTRIBUTES: (u32, &str, Type) = (
    1,
    "resourceAttributes",
    Type::Message(&[
        (1, "namespace", Text),
        (2, "verb", Text),
        (3, "group", Text),
        (4, "version", Text),
        (5, "resource", Text),
        (6, "subresource", Text),
        (7, "name", Text),
    ]),
);
const OTHER_ATTRIBUTES: (u32, &str, Type) = (
    2,
    "nonResourceAttributes",
    Type::Message(&[(1, "path", Text), (2, "verb", Text)]),
);
const SELF_ACCESS: Message = &[
    META,
    (2, "spec", Type::Message(&[RESOURCE_ATTRIBUTES, OTHER_ATTRIBUTES])),
];
const ACCESS: Message = &[
    META,
    (
        2,
        "spec",
        Type::Message(&[
            RESOURCE_ATTRIBUTES,
            OTHER_ATTRIBUTES,
            (3, "user", Text),
            (4, "groups", Strings),
            (6, "uid", Text),
        ]),
    ),
];
const RULES_REVIEW: Message = &[META, (2, "spec", Type::Message(&[(1, "namespace", Text)]))];
const DELETE_OPTIONS: Message = &[
    (1, "gracePeriodSeconds", Integer),
    (
        2,
        "preconditions",
        Type::Message(&[(1, "uid", Text), (2, "resourceVersion", Text)]),
    ),
    (3, "orphanDependents", Boolean),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Strings),
];
const TOKEN_REQUEST: Message = &[
    META,
    (
        2,
        "spec",
        Type::Message(&[
            (1, "audiences", Strings),
            (
                3,
                "boundObjectRef",
                Type::Message(&[
                    (1, "kind", Text),
                    (2, "apiVersion", Text),
                    (3, "name", Text),
                    (4, "uid", Text),
                ]),
            ),
            (4, "expirationSeconds", Integer),
        ]),
    ),
];
const TOKEN_REVIEW: Message = &[
    META,
    (
        2,
        "spec",
        Type::Message(&[(1, "token", Text), (2, "audiences", Strings)]),
    ),
];
const ENVELOPE: Message = &[(
    1,
    "typeMeta",
    Type::Message(&[(1, "apiVersion", Text), (2, "kind", Text)]),
)];

fn descriptor(kind: &str) -> Option<Message> {
    Some(match kind {
        "ClusterRole" => CLUSTER_ROLE,
        "ClusterRoleBinding" | "RoleBinding" => BINDING,
        "ConfigMap" => CONFIG_MAP,
        "DeleteOptions" => DELETE_OPTIONS,
        "Lease" => LEASE,
        "LocalSubjectAccessReview" | "SubjectAccessReview" => ACCESS,
        "Namespace" => NAMESPACE,
        "Role" => ROLE,
        "Secret" => SECRET,
        "SelfSubjectAccessReview" => SELF_ACCESS,
        "SelfSubjectReview" => &[META],
        "SelfSubjectRulesReview" => RULES_REVIEW,
        "ServiceAccount" => SERVICE_ACCOUNT,
        "TokenRequest" => TOKEN_REQUEST,
        "TokenReview" => TOKEN_REVIEW,
        _ => return None,
    })
}

/// Reads an object.
///
/// # Errors
/// When the bytes are malformed, or of a kind that is not read in Protobuf.
pub(super) fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let body = body.strip_prefix(MAGIC).ok_or(DecodeError::Malformed)?;
    let envelope = message(ENVELOPE, body)?;
    let text = |field: &str| {
        envelope
            .pointer(&format!("/typeMeta/{field}"))
            .and_then(Value::as_str)
            .unwrap_or("")
    };
    let (api_version, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
    let mut raw: &[u8] = &[];
    for field in Fields(body) {
        if let (2, Wire::Bytes(bytes)) = field? {
            raw = bytes;
        }
    }
    let Some(descriptor) = descriptor(&kind) else {
        return Err(DecodeError::UnknownKind { kind });
    };
    let mut object = message(descriptor, raw)?;
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), Value::String(api_version));
        fields.insert("kind".to_owned(), Value::String(kind));
    }
    Ok(object)
}

/// A value on the wire.
enum Wire<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(DecodeError::Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, Wire<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok()?;
        let value = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn message(descriptor: Message, bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut fields = Map::new();
    for field in Fields(bytes) {
        let (number, value) = field?;
        let Some((_, name, kind)) = descriptor.iter().find(|(known, ..)| *known == number) else {
            continue;
        };
        add(&mut fields, name, *kind, &value)?;
    }
    Ok(Value::Object(fields))
}

fn add(fields: &mut Map<String, Value>, name: &str, kind: Type, value: &Wire<'_>) -> Result<(), DecodeError> {
    match (kind, value) {
        (Boolean, Wire::Number(number)) => {
            fields.insert(name.to_owned(), json!(*number != 0));
        }
        // Protobuf's negative numbers are the same bits.
        (Integer, Wire::Number(number)) if *number != 0 => {
            fields.insert(name.to_owned(), json!(number.cast_signed()));
        }
        (Integer, Wire::Number(_)) => {}
        (Text, Wire::Bytes(bytes)) => {
            // Go writes empty strings where JSON leaves them out.
            let text = text(bytes)?;
            if !text.is_empty() {
                fields.insert(name.to_owned(), json!(text));
            }
        }
        (Strings, Wire::Bytes(bytes)) => push(fields, name, json!(text(bytes)?)),
        (Type::Message(descriptor), Wire::Bytes(bytes)) => {
            let decoded = message(descriptor, bytes)?;
            if decoded.as_object().is_some_and(|decoded| !decoded.is_empty()) {
                fields.insert(name.to_owned(), decoded);
            }
        }
        (Type::Messages(descriptor), Wire::Bytes(bytes)) => push(fields, name, message(descriptor, bytes)?),
        (StringMap | BytesMap, Wire::Bytes(bytes)) => {
            let (key, value) = entry(bytes)?;
            let value = match kind {
                BytesMap => STANDARD.encode(value),
                _ => text(value)?.to_owned(),
            };
            let map = fields.entry(name).or_insert_with(|| json!({}));
            if let Some(map) = map.as_object_mut() {
                map.insert(text(key)?.to_owned(), Value::String(value));
            }
        }
        (Time | MicroTime, Wire::Bytes(bytes)) => {
            if let Some(time) = time(bytes, matches!(kind, MicroTime))? {
                fields.insert(name.to_owned(), time);
            }
        }
        _ => return Err(DecodeError::Malformed),
    }
    Ok(())
}

fn push(fields: &mut Map<String, Value>, name: &str, value: Value) {
    let list = fields.entry(name).or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        list.push(value);
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed)
}

/// Key and value of a map's entry.
fn entry(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields(bytes) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

/// A time; none for Go's zero time, which is an empty message.
fn time(bytes: &[u8], micro: bool) -> Result<Option<Value>, DecodeError> {
    let (mut seconds, mut nanoseconds) = (None, 0);
    for field in Fields(bytes) {
        match field? {
            (1, Wire::Number(number)) => seconds = Some(number.cast_signed()),
            (2, Wire::Number(number)) => {
                nanoseconds = i32::try_from(number).map_err(|_| DecodeError::Malformed)?;
            }
            _ => {}
        }
    }
    let Some(seconds) = seconds else { return Ok(None) };
    let at = jiff::Timestamp::new(seconds, nanoseconds).map_err(|_| DecodeError::Malformed)?;
    let format = if micro {
        "%Y-%m-%dT%H:%M:%S.%6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    Ok(Some(json!(at.strftime(format).to_string())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        field.extend_from_slice(bytes);
        field
    }

    fn wrapped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [
            MAGIC.to_vec(),
            field(1, &type_meta),
            field(2, raw),
            field(3, b""),
            field(4, b""),
        ]
        .concat()
    }

    #[test]
    fn a_secret_is_read() {
        let metadata = [field(1, b"token"), field(2, b""), field(8, b"")].concat();
        let entry = [field(1, b"password"), field(2, b"hunter2")].concat();
        let body = wrapped(
            "v1",
            "Secret",
            &[field(1, &metadata), field(2, &entry), field(3, b"Opaque")].concat(),
        );
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "token" }, "type": "Opaque",
            "data": { "password": "aHVudGVyMg==" },
        });
        assert_eq!(decode(&body).unwrap(), expected);
        assert_eq!(decode(&body[4..]), Err(DecodeError::Malformed));
        let pod = decode(&wrapped("v1", "Pod", b"")).unwrap_err();
        assert_eq!(
            pod,
            DecodeError::UnknownKind {
                kind: "Pod".to_owned()
            }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(raw in proptest::collection::vec(any::<u8>(), 0..100)) {
            for kind in ["Secret", "Lease", "RoleBinding", "Namespace"] {
                let _ = decode(&wrapped("v1", kind, &raw));
            }
            let _ = decode(&[MAGIC, &raw].concat());
        }
    }
}
