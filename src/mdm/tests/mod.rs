//! Stories over real TLS: a server with the real store, and devices that know nothing but the protocol.

mod attribution;
mod bad_input;
mod declarations;
mod faults;
mod life;
mod proxies;
mod renewing;
mod signing;
mod world;
