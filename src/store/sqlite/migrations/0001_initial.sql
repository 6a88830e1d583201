-- Times are microseconds since 1970, digests are 32 bytes, labels and causes are JSON.

-- The right to enrol one device, once.
CREATE TABLE invitations (
    challenge BLOB PRIMARY KEY,
    namespace TEXT NOT NULL,
    labels TEXT NOT NULL,
    serial_number TEXT,
    udid TEXT,
    expires_at INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_expires_at ON invitations (expires_at);

-- Every identity certificate ever issued, in the order of issue, until it has run out. `challenge` is null where it was issued on proof by
-- the certificate before it: a renewal. `device` is null until the first device shows it, where nobody was named. `ends_at`: until when a former pin is accepted.
CREATE TABLE certificates (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    challenge BLOB,
    key BLOB NOT NULL,
    device TEXT,
    not_after INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    labels TEXT NOT NULL,
    serial_number TEXT,
    state TEXT NOT NULL CHECK (state IN ('issued', 'next', 'pinned', 'former', 'withdrawn')),
    ends_at INTEGER
) STRICT;
CREATE INDEX certificates_challenge ON certificates (challenge);
CREATE INDEX certificates_device ON certificates (device);
CREATE INDEX certificates_not_after ON certificates (not_after);

-- Certificates (DER) that were answers to messages, by the digest of the message: the same again gets the same.
CREATE TABLE answers (
    message BLOB PRIMARY KEY,
    certificate BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_expires_at ON answers (expires_at);

-- One row for each device that ever enrolled, and for each of its users. `generation` counts its enrolments.
CREATE TABLE enrollments (
    id INTEGER PRIMARY KEY,
    -- The id of a device, or of a user as DEVICE:USER.
    device TEXT NOT NULL UNIQUE,
    -- The device of a user.
    parent INTEGER REFERENCES enrollments (id),
    -- Two ids that give one Kubernetes name would share a Device object. Users have none.
    device_name TEXT UNIQUE,
    generation INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    labels TEXT NOT NULL,
    state TEXT NOT NULL,
    -- Of a device; its users have no other.
    certificate BLOB UNIQUE,
    -- As it came from another server; what the device says itself stands with its push address.
    topic TEXT,
    platform TEXT NOT NULL,
    mode TEXT NOT NULL,
    serial_number TEXT,
    model TEXT,
    os_version TEXT NOT NULL,
    build_version TEXT,
    declarative INTEGER NOT NULL,
    -- What the device says it does not take, of what its system has.
    lacks TEXT NOT NULL DEFAULT '{}',
    token_updates INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    awaiting_configuration INTEGER NOT NULL DEFAULT 0,
    -- Why the push service does not take its push address, which is then not used.
    push_refused TEXT,
    CHECK ((parent IS NULL) = (device_name IS NOT NULL)),
    CHECK ((parent IS NULL) = (certificate IS NOT NULL))
) STRICT;
CREATE INDEX enrollments_parent ON enrollments (parent) WHERE parent IS NOT NULL;
-- Who is to be told to go.
CREATE INDEX enrollments_removing ON enrollments (device) WHERE state = 'Removing';
CREATE INDEX enrollments_push_refused ON enrollments (id) WHERE push_refused IS NOT NULL;
CREATE INDEX enrollments_awaiting ON enrollments (enrolled_at) WHERE awaiting_configuration = 1;

-- Apart from the enrolments, so that a policy change for the whole fleet rewrites small rows.
CREATE TABLE pointers (
    enrollment INTEGER PRIMARY KEY REFERENCES enrollments (id),
    manifest BLOB,
    manifest_at INTEGER,
    previous_manifest BLOB,
    advertised_manifest BLOB,
    applied_manifest BLOB
) STRICT;

-- Token and magic are sealed.
CREATE TABLE push_addresses (
    enrollment INTEGER PRIMARY KEY REFERENCES enrollments (id),
    topic TEXT NOT NULL,
    token BLOB NOT NULL,
    magic BLOB NOT NULL,
    -- When the device told it. Null: it told another server.
    registered_at INTEGER
) STRICT;

-- What devices hand over for safe keeping, sealed.
CREATE TABLE escrow (
    enrollment INTEGER NOT NULL REFERENCES enrollments (id),
    kind TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (enrollment, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE seen (
    enrollment INTEGER PRIMARY KEY REFERENCES enrollments (id),
    at INTEGER NOT NULL
) STRICT;

-- Request bodies, sealed, shared by all commands that differ in nothing but their UUID. `tag` is a keyed digest. `uses` counts how
-- often commands were queued with it, so that a look for unneeded ones that took place before does not remove it.
CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    tag BLOB NOT NULL UNIQUE,
    sealed BLOB NOT NULL,
    uses INTEGER NOT NULL
) STRICT;

-- What devices have not reported on yet, and nothing else: its size follows the work to do, not the history. The few rows of a device are read
-- together; each further index would be one more page to write for every report.
CREATE TABLE pending (
    enrollment INTEGER NOT NULL REFERENCES enrollments (id),
    sequence INTEGER NOT NULL,
    uuid TEXT NOT NULL,
    request_type TEXT NOT NULL,
    -- Of the table bodies.
    body INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    unanswered INTEGER NOT NULL,
    deferrals INTEGER NOT NULL,
    intent TEXT,
    chain TEXT,
    priority TEXT NOT NULL,
    queued_at INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    PRIMARY KEY (enrollment, sequence)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX pending_intent ON pending (enrollment, intent) WHERE intent IS NOT NULL;

-- The last sequence given to a command.
CREATE TABLE sequence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO sequence VALUES (1, 0);

-- Ended commands, in the order of their end, each until `expires_at`.
CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    enrollment INTEGER NOT NULL REFERENCES enrollments (id),
    uuid TEXT NOT NULL,
    request_type TEXT NOT NULL,
    class TEXT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT NOT NULL,
    queued_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX results_uuid ON results (enrollment, uuid);

-- `sealed` is the whole manifest. `fresh`: kept since the last collection and not pointed at since. `uses` counts what may have made it
-- needed again, so that a collection that looked before does not remove it.
CREATE TABLE manifests (
    digest BLOB PRIMARY KEY,
    sealed BLOB NOT NULL,
    fresh INTEGER NOT NULL,
    uses INTEGER NOT NULL
) STRICT;

CREATE TABLE facts (
    enrollment INTEGER PRIMARY KEY REFERENCES enrollments (id),
    body BLOB NOT NULL
) STRICT;

CREATE TABLE verdicts (
    enrollment INTEGER PRIMARY KEY REFERENCES enrollments (id),
    body BLOB NOT NULL
) STRICT;

-- Append-only.
CREATE TABLE transitions (
    id INTEGER PRIMARY KEY,
    enrollment INTEGER NOT NULL REFERENCES enrollments (id),
    time INTEGER NOT NULL,
    rule TEXT,
    before TEXT,
    after TEXT,
    revision TEXT,
    evidence TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX transitions_enrollment ON transitions (enrollment, id);
