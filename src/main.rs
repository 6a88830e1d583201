//! The `provost` program: install the crypto provider, then the command line.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Every message of a device is read into many small values. The system's allocator took a fifth of the server's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // First of all: libraries that find no provider installed, or two, end the process.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("provost: another crypto provider is installed already");
        return ExitCode::FAILURE;
    }
    provost::cli::main()
}
