//! The `provost` program: parse, install the crypto provider, dispatch.
fn main() {}
