//! ssh against an unprivileged OpenSSH server.
