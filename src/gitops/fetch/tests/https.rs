//! https against git's own server program behind a small TLS front, under a private authority.
