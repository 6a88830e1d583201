//! The labels, annotations, finalizers and field managers that Provost uses, each in one place.

/// The API group of every Provost kind.
pub const GROUP: &str = "provost.dev";
/// The version served and stored.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` as written in a manifest.
pub const API_VERSION: &str = "provost.dev/v1alpha1";
/// The category under which `kubectl get provost` finds every kind.
pub const CATEGORY: &str = "provost";

/// On an object: act on it now. Any new value counts as a request; it is echoed in `status.lastHandledReconcileAt`.
pub const RECONCILE_ANNOTATION: &str = "provost.dev/reconcile";
/// On a GitSource: the revision whose removals (or emptiness) a person has looked at and allows.
pub const ALLOW_PRUNE_ANNOTATION: &str = "provost.dev/allow-prune";
/// On an object from git: the revision that last changed its content, as `main@sha1:…`.
pub const REVISION_ANNOTATION: &str = "provost.dev/revision";
/// On an object from git: when that revision was committed, as RFC 3339. It orders revisions: one that came into force after another has a
/// later time, if need be later than when it was committed.
pub const COMMITTED_AT_ANNOTATION: &str = "provost.dev/committed-at";
/// On an object from git: the file it was read from.
pub const FILE_ANNOTATION: &str = "provost.dev/file";
/// On an object from git: the name of the GitSource that owns it.
pub const SOURCE_LABEL: &str = "provost.dev/source";

/// On every Device: the platform, such as `macOS`.
pub const PLATFORM_LABEL: &str = "provost.dev/platform";
/// On every Device: `Supervised`, `Device` or `User`.
pub const ENROLLMENT_MODE_LABEL: &str = "provost.dev/enrollment-mode";

/// Holds a Device until it has been un-enrolled (or forgotten, by `spec.deletionPolicy`).
pub const DEVICE_FINALIZER: &str = "provost.dev/enrollment";
/// Holds a GitSource until what it brought has been pruned.
pub const SOURCE_FINALIZER: &str = "provost.dev/inventory";

/// The field manager of every controller's writes.
pub const FIELD_MANAGER: &str = "provost";
/// The field manager of what a GitSource applies.
pub const GIT_FIELD_MANAGER: &str = "provost-git";
/// The `reportingController` of events.
pub const CONTROLLER: &str = "provost.dev/controller";
