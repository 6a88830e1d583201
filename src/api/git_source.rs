//! GitSource: a git repository whose policy files are in force in its namespace.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::schemas;

/// A git repository and the path in it whose policy objects are in force in this namespace.
///
/// Each revision is fetched, read, validated and applied whole. A revision with a mistake changes nothing: the
/// last good one stays in force and the condition names file, line and column.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "provost.dev",
    version = "v1alpha1",
    kind = "GitSource",
    plural = "gitsources",
    singular = "gitsource",
    shortname = "gsrc",
    category = "provost",
    namespaced,
    status = "GitSourceStatus",
    derive = "PartialEq",
    // Everything that comes from it carries its name as a label.
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name: at most 63 characters"),
    doc = "A git repository whose policy files are in force in this namespace.",
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".spec.url"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Revision","type":"string","jsonPath":".status.artifact.revision"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].message"}"#,
    printcolumn = r#"{"name":"Objects","type":"integer","jsonPath":".status.artifact.objects","priority":1}"#,
    printcolumn = r#"{"name":"Verified","type":"string","jsonPath":".status.conditions[?(@.type==\"SourceVerified\")].status","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.verify) || self.verify.mode == 'HEAD' || (has(self.ref) && has(self.ref.tag))").message("verify.mode Tag and TagAndHEAD need a tag to follow: give ref.tag"))]
pub struct GitSourceSpec {
    /// The repository: `https://…`, `ssh://user@host/…` or `file:///…`, without a password in it.
    #[schemars(regex(pattern = r"^(https|ssh|file)://[^\s]+$"), length(max = 2048))]
    pub url: String,
    /// What to follow. None: the branch `main`.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "ref")]
    #[schemars(rename = "ref")]
    pub reference: Option<GitReference>,
    /// The folder that holds the policy files, from the root of the repository.
    #[serde(default = "root_path")]
    #[schemars(length(max = 1024))]
    pub path: String,
    /// What the files are: objects of Provost's, or a rule library of the macOS Security Compliance Project, each of whose baselines becomes a
    /// Baseline.
    #[serde(default)]
    pub format: SourceFormat,
    /// How often to look for a new revision, such as `30s`, `5m` or `1h`.
    #[serde(default = "default_interval")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"), length(max = 32))]
    pub interval: String,
    /// How long a fetch may take.
    #[serde(default = "default_timeout")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"), length(max = 32))]
    pub timeout: String,
    /// A Secret in this namespace: `username` and `password` or `bearerToken` and `ca.crt` for https,
    /// `identity`, `password` (of the key) and `known_hosts` for ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<super::common::NameRef>,
    /// Who must have signed what is taken. None: what the repository holds is taken as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verification>,
    /// Whether objects that a revision no longer holds are removed.
    #[serde(default = "yes")]
    pub prune: bool,
    /// The largest share of the inventory, in per cent, that one revision may remove without somebody allowing it.
    #[serde(default = "default_prune_limit")]
    #[schemars(range(min = 0, max = 100))]
    pub prune_limit_percent: i32,
    /// True: nothing is fetched or applied until this is false again.
    #[serde(default)]
    pub suspend: bool,
}

/// What the files of a source are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SourceFormat {
    /// Objects of the group `provost.dev`, as YAML or JSON.
    #[default]
    Native,
    /// A tree of the macOS Security Compliance Project, 2.0 or 1.x.
    #[serde(rename = "MSCP")]
    Mscp,
}

/// Who must have signed a revision. One that is not signed like this changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// What has to be signed.
    #[serde(default)]
    pub mode: VerificationMode,
    /// A Secret in this namespace with the keys that count: entries `*.asc` are OpenPGP public keys in armor, `*.sshpub` SSH public keys, one a
    /// line, and `allowed_signers` is as `ssh-keygen(1)` has it.
    pub secret_ref: super::common::NameRef,
    /// E-mail addresses: the author of a signed commit, and the tagger of a signed tag, must have one of them. Empty: the key decides alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(regex(pattern = r"^[^\s<>@]+@[^\s<>@]+$"), length(max = 254))
    )]
    pub authors: Vec<String>,
}

/// What of a revision has to be signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum VerificationMode {
    /// The commit that the reference leads to.
    #[default]
    #[serde(rename = "HEAD")]
    Head,
    /// The tag that the reference names.
    Tag,
    /// Both.
    #[serde(rename = "TagAndHEAD")]
    TagAndHead,
}

/// What to follow in a repository: one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.branch), has(self.tag), has(self.commit)].filter(given, given).size() == 1").message("give exactly one of branch, tag and commit"))]
pub struct GitReference {
    /// The tip of a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub branch: Option<String>,
    /// A tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub tag: Option<String>,
    /// One commit, by its full SHA-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{40}$"))]
    pub commit: Option<String>,
}

/// What became of a GitSource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitSourceStatus {
    /// The generation of the spec that this status is about.
    #[serde(default = "super::unobserved")]
    pub observed_generation: i64,
    /// `Ready`, `SourceVerified`, `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
    /// The revision in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// The newest revision seen, in force or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// What the revision in force brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub inventory: Vec<InventoryEntry>,
    /// The last revisions, newest first, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<RevisionRecord>,
    /// The value of the `provost.dev/reconcile` annotation last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// A revision in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// As `main@sha1:…`.
    pub revision: String,
    /// When it was applied.
    pub applied_at: Time,
    /// Who signed it, where the source asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// How many objects it holds.
    pub objects: i64,
    /// How many documents of other API groups were passed over.
    #[serde(default)]
    pub other_documents: i64,
}

/// One object that came from git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The SHA-256 of its content in git; empty while a change of it is under way.
    pub digest: String,
}

/// What happened to one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRecord {
    /// As `main@sha1:…`.
    pub revision: String,
    /// Who wrote it, as `Name <email>`.
    pub author: String,
    /// The first line of its message.
    pub message: String,
    /// When it was committed.
    pub committed_at: Time,
    /// When Provost came to this result.
    pub time: Time,
    /// `Applied`, `Refused` or `Waiting`.
    pub result: RevisionResult,
    /// Objects applied and removed, or why not.
    pub detail: String,
}

/// How a revision fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum RevisionResult {
    /// In force.
    Applied,
    /// Wrong, or not to be had; nothing changed.
    Refused,
    /// Held until somebody allows it; nothing changed.
    Waiting,
}

fn root_path() -> String {
    ".".to_owned()
}

fn default_interval() -> String {
    "1m".to_owned()
}

fn default_timeout() -> String {
    "60s".to_owned()
}

const fn yes() -> bool {
    true
}

/// `pruneLimitPercent` where a source does not say.
pub const PRUNE_LIMIT_PERCENT: i32 = 25;

const fn default_prune_limit() -> i32 {
    PRUNE_LIMIT_PERCENT
}
