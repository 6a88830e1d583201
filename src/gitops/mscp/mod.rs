//! The rule libraries and baselines of the macOS Security Compliance Project (mSCP), read as its users keep them in git.
//!
//! ```text
//!   files ──► layout ──► rule, baseline ──► resolve ──► export   (what mSCP's own generator would write, nothing lost)
//!             (which      (what they say,    (one OS,      └───► native (a Baseline of Provost's)
//!              file        custom over        values put         report (how the whole tree fares)
//!              is what)    bundled)           in)
//! ```
//!
//! Both formats are read: 2.0 (one library for all systems) and 1.x (a branch for each system); a rule with `platforms` is of 2.0, one
//! without is of 1.x. What mSCP passes over in silence is an error here: a rule or section that is not there, a rule that does not know
//! the system or version, a value that was never given. What it loses is kept: nested keys, dictionaries, what several rules say of one
//! key. What rules contradict each other in is left out and named.
//!
//! Checks and fixes are shell for root from somebody else's repository. They are texts here: nothing of them is ever run.
//!
//! Pure: files come in as bytes, time and disk are not touched.

mod assemble;
mod baseline;
mod config_file;
mod errata;
mod evidence;
mod judge;
mod layout;
mod native;
mod note;
mod odv;
mod raw;
mod report;
mod resolve;
mod rule;
mod tree;

pub use assemble::{Conflict, Export, RulePlace, Side};
pub use baseline::BaselineFile;
pub use config_file::Fragment;
pub use judge::Judge;
pub use native::{Native, documents};
pub use note::{Note, Weight};
pub use report::{BaselineReport, NoteReport, Report, report};
pub use resolve::{Declared, Payload, Resolved, ResolvedRule};
pub use tree::{Format, System, Tree};
