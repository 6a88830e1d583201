//! Where a server keeps everything: the option that servers share with the commands that work beside them.

use std::path::PathBuf;

/// The data directory of a server.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The data directory of the server: databases, keys, push certificates, clones of git repositories. One server at a time works in it.
    #[arg(
        long,
        value_name = "DIR",
        env = "PROVOST_DATA_DIR",
        hide_env_values = true,
        default_value = "provost-data"
    )]
    pub(super) data_dir: PathBuf,
}
