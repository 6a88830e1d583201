//! Checks: CEL over what a device reported.
//!
//! Variables: the answers of commands under the names of those, in the shapes that [`Source`] tells, `StatusItems` (Apple's status items as
//! a tree, such as `StatusItems.diskmanagement.filevault.enabled`) and `params`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::facts::Source;
use crate::expression::{CompileError, Program};

/// The name of a baseline's parameters in an expression.
pub const PARAMETERS: &str = "params";
/// Everything a check may read.
pub const VARIABLES: [&str; 9] = [
    "SecurityInfo",
    "DeviceInformation",
    "StatusItems",
    "CertificateList",
    "InstalledApplicationList",
    "ManagedApplicationList",
    "Restrictions",
    "UserList",
    PARAMETERS,
];
/// The most programs kept; a fleet has as many as it has rules.
const MAX_PROGRAMS: usize = 8192;

/// The variable that a source's report is read as.
#[must_use]
pub fn variable(source: Source) -> Option<&'static str> {
    match source {
        Source::StatusReport => Some("StatusItems"),
        Source::ProfileList => None,
        command => Some(command.into()),
    }
}

/// The source whose report a variable is.
#[must_use]
pub fn source(variable: &str) -> Option<Source> {
    match variable {
        "StatusItems" => Some(Source::StatusReport),
        "ProfileList" | "StatusReport" => None,
        command => command.parse().ok(),
    }
}

/// Compiles a check.
///
/// # Errors
/// When it is not an expression over [`VARIABLES`].
pub fn compile(text: &str) -> Result<Program, CompileError> {
    Program::compile(text, &VARIABLES)
}

/// Compiled checks, each compiled once whatever the number of classes and compilations.
#[derive(Debug, Default)]
pub struct Checks(Mutex<HashMap<Arc<str>, Compiled>>);

type Compiled = Result<Arc<Program>, CompileError>;

impl Checks {
    /// The program of a check.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn program(&self, text: &str) -> Result<Arc<Program>, CompileError> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return known.clone();
        }
        let compiled = compile(text).map(Arc::new);
        let mut programs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if programs.len() >= MAX_PROGRAMS {
            programs.clear();
        }
        programs.insert(text.into(), compiled.clone());
        compiled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_compiled_once() {
        let checks = Checks::default();
        let first = checks.program("SecurityInfo.FDE_Enabled == true").unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &checks.program("SecurityInfo.FDE_Enabled == true").unwrap()
        ));
        assert!(checks.program("device.platform == 'macOS'").is_err());
    }

    #[test]
    fn every_report_that_has_a_variable_is_found_by_it() {
        for name in VARIABLES.into_iter().filter(|name| *name != PARAMETERS) {
            assert_eq!(source(name).and_then(variable), Some(name));
        }
        assert_eq!(variable(Source::ProfileList), None);
        assert_eq!((source("ProfileList"), source("params")), (None, None));
    }
}
