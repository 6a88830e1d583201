//! The fields of a line, by their names.

/// The id of a device, or of a user as `DEVICE:USER`.
pub(super) const UDID: &str = "udid";
/// As [`UDID`], of a personal device.
pub(super) const ENROLLMENT_ID: &str = "enrollmentId";
pub(super) const SERIAL_NUMBER: &str = "serialNumber";
pub(super) const TOPIC: &str = "topic";
pub(super) const PUSH_TOKEN: &str = "pushToken";
pub(super) const PUSH_MAGIC: &str = "pushMagic";
pub(super) const UNLOCK_TOKEN: &str = "unlockToken";
pub(super) const BOOTSTRAP_TOKEN: &str = "bootstrapToken";
pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const CERTIFICATE_SHA256: &str = "certificateSha256";
pub(super) const OS_VERSION: &str = "osVersion";
pub(super) const PRODUCT_NAME: &str = "productName";
pub(super) const SUPERVISED: &str = "supervised";
pub(super) const NAMESPACE: &str = "namespace";
pub(super) const LABELS: &str = "labels";

/// Every field that a line may have.
pub const FIELDS: [&str; 15] = [
    UDID,
    ENROLLMENT_ID,
    SERIAL_NUMBER,
    TOPIC,
    PUSH_TOKEN,
    PUSH_MAGIC,
    UNLOCK_TOKEN,
    BOOTSTRAP_TOKEN,
    CERTIFICATE,
    CERTIFICATE_SHA256,
    OS_VERSION,
    PRODUCT_NAME,
    SUPERVISED,
    NAMESPACE,
    LABELS,
];

/// Those that a user's line may have; all else is its device's.
pub(super) const FIELDS_OF_USERS: [&str; 5] = [UDID, ENROLLMENT_ID, TOPIC, PUSH_TOKEN, PUSH_MAGIC];

/// Those that a personal device never tells a server.
pub(super) const NOT_OF_PERSONAL_DEVICES: [&str; 3] = [SERIAL_NUMBER, UNLOCK_TOKEN, BOOTSTRAP_TOKEN];
