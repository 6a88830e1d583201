//! What a sealed body is bound to.

/// The row and the write that a body belongs to, so that rows cannot be exchanged.
pub(super) fn context(resource: &str, namespace: &str, name: &str, revision: i64) -> String {
    format!("provost.kubeapi.v1\0{resource}\0{namespace}\0{name}\0{revision}")
}
