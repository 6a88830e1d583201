//! Stories over real TLS: a server with the real store, and devices that know nothing but the protocol.

mod attribution;
mod bad_input;
mod channels;
mod declarations;
mod faults;
mod formats;
mod life;
mod passes;
mod proxies;
mod renewing;
mod safekeeping;
mod setup;
mod signing;
mod tokens;
mod users;
mod world;
