//! The folder of push certificates: one file a topic, and the request that is under way.
//!
//! ```text
//! push/
//!   com.apple.mgmt.External.….pem   certificate, what comes with it, and its key; replaced as a whole, so that they always belong together
//!   topic                           the topic of new enrolments
//!   request.key  request.csr        a request that has not been answered
//!   request.plist                   the same, signed by a vendor
//! ```
//!
//! Everything is for its owner alone. `provost push certificate` writes here and a server reads, also while it runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::certificate::{CertificateError, PushCertificate};
use super::expiry::Expiry;
use crate::files;
use crate::secret::Secret;

/// The largest file that is read, in bytes. A chain with its key has about ten thousand.
const FILE_LIMIT: u64 = 256 * 1024;

/// A folder of push certificates, which need not exist yet.
#[derive(Debug, Clone)]
pub struct PushFolder(PathBuf);

/// Why the folder, or a certificate for it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is no push certificate with its key.
    #[error("{}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// There are several topics, and nothing says which one new enrolments have.
    #[error("{}: there are several push certificates, and the file `topic` does not name one of them; write the topic of new enrolments into it", path.display())]
    NoTopic {
        /// The folder.
        path: PathBuf,
    },
    /// Its time has not come, or is over.
    #[error("the certificate is good from {not_before:.0} to {not_after:.0} and it is {now:.0}; {advice}")]
    NotInTime {
        /// Its beginning.
        not_before: Timestamp,
        /// Its end.
        not_after: Timestamp,
        /// The present.
        now: Timestamp,
        /// What to do.
        advice: &'static str,
    },
    /// It is for another topic.
    #[error(
        "the certificate is for the topic {found}, and devices are enrolled with {}. A device keeps its topic until it enrols again: with \
         this certificate alone, none of them is ever woken again. Renew the old certificate, signed in at identity.apple.com/pushcert with the \
         Apple Account that made it, by \"Renew\" and not by \"Create a Certificate\". To begin another topic for new enrolments beside the old \
         one, give --new-topic",
        in_use.join(" and ")
    )]
    OtherTopic {
        /// The new one.
        found: String,
        /// Those that devices have.
        in_use: Vec<String>,
    },
}

impl PushFolder {
    /// The folder at `path`.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All certificates, that of new enrolments first. None where there is no such folder.
    ///
    /// # Errors
    /// When one of them is unreadable, or nothing says which is for new enrolments.
    pub fn certificates(&self) -> Result<Vec<PushCertificate>, FolderError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.0)(error)),
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths: Vec<_> = paths.collect::<Result<_, _>>().map_err(failed(&self.0))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
        paths.sort();
        let mut certificates: Vec<_> = paths
            .iter()
            .map(|path| {
                let pem = read(path)?.unwrap_or_default();
                PushCertificate::from_pem(&pem, &Secret::new(pem.clone())).map_err(|source| {
                    FolderError::Certificate {
                        path: path.clone(),
                        source,
                    }
                })
            })
            .collect::<Result<_, _>>()?;
        if certificates.len() > 1 {
            let topic = read(&self.0.join("topic"))?.unwrap_or_default();
            let of_new = certificates
                .iter()
                .position(|certificate| certificate.topic() == topic.trim())
                .ok_or_else(|| FolderError::NoTopic { path: self.0.clone() })?;
            certificates.swap(0, of_new);
        }
        Ok(certificates)
    }

    /// The key of the request that is under way.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn request_key(&self) -> Result<Option<Secret<String>>, FolderError> {
        Ok(read(&self.request_key_path())?.map(Secret::new))
    }

    /// Where that key is.
    #[must_use]
    pub fn request_key_path(&self) -> PathBuf {
        self.0.join("request.key")
    }

    /// Keeps the key of a request, before anything is asked with it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_request_key(&self, key: &Secret<String>) -> Result<(), FolderError> {
        files::private_folder(&self.0).map_err(unwritable(&self.0))?;
        keep(&self.request_key_path(), key.reveal())
    }

    /// Keeps a request, and says where.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_request(&self, name: &str, contents: &str) -> Result<PathBuf, FolderError> {
        let path = self.0.join(name);
        keep(&path, contents)?;
        Ok(path)
    }

    /// Whether `certificate` may be installed: in its time, and for a topic in use, where there are any, unless a new one is wanted.
    ///
    /// # Errors
    /// [`FolderError::NotInTime`] and [`FolderError::OtherTopic`], which say what to do.
    pub fn check(
        certificate: &PushCertificate,
        in_use: &[String],
        new_topic: bool,
        now: Timestamp,
    ) -> Result<(), FolderError> {
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        let expiry = Expiry::of(not_before, not_after, now);
        if !expiry.is_good() {
            let advice = if expiry == Expiry::Ended {
                "renew it at identity.apple.com/pushcert"
            } else {
                "set this computer's clock, or wait"
            };
            return Err(FolderError::NotInTime {
                not_before,
                not_after,
                now,
                advice,
            });
        }
        let is_in_use = in_use.iter().any(|topic| topic == certificate.topic());
        if in_use.is_empty() || is_in_use || new_topic {
            return Ok(());
        }
        Err(FolderError::OtherTopic {
            found: certificate.topic().to_owned(),
            in_use: in_use.to_vec(),
        })
    }

    /// Installs a certificate, in place of the one for its topic if there is one. The topic of new enrolments becomes `of_new`, or its own. The
    /// request that is under way has been answered. Gives the file.
    ///
    /// # Errors
    /// When something cannot be written; what was there before is still there then.
    pub fn install(
        &self,
        certificate: &PushCertificate,
        of_new: Option<&str>,
    ) -> Result<PathBuf, FolderError> {
        files::private_folder(&self.0).map_err(unwritable(&self.0))?;
        let path = self.0.join(format!("{}.pem", certificate.topic()));
        let pem = Secret::new(format!(
            "{}{}",
            certificate.chain_pem(),
            certificate.key_pem().reveal()
        ));
        // In this order: should we fall over in between, the topic still names a certificate that is there.
        keep(&path, pem.reveal())?;
        keep(
            &self.0.join("topic"),
            &format!("{}\n", of_new.unwrap_or_else(|| certificate.topic())),
        )?;
        for name in ["request.csr", "request.plist", "request.key"] {
            match fs::remove_file(self.0.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(unwritable(&self.0.join(name))(error));
                }
                _ => {}
            }
        }
        Ok(path)
    }
}

fn keep(path: &Path, contents: &str) -> Result<(), FolderError> {
    files::replace(path, contents.as_bytes(), files::PRIVATE).map_err(unwritable(path))
}

/// A file of reasonable size, if it is there.
fn read(path: &Path) -> Result<Option<String>, FolderError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_LIMIT => {
            return Err(failed(path)(io::ErrorKind::FileTooLarge.into()));
        }
        _ => {}
    }
    fs::read_to_string(path).map(Some).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FolderError + '_ {
    move |source| FolderError::Read {
        path: path.to_owned(),
        source,
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> FolderError + '_ {
    move |source| FolderError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::certificate::fixtures::certificate;
    use super::super::certificate::tests::TOPIC;
    use super::*;

    const OTHER: &str = "com.apple.mgmt.External.other";

    fn made(topic: &str) -> PushCertificate {
        let (pem, key) = certificate(topic);
        PushCertificate::from_pem(&pem, &key).unwrap()
    }

    fn topics(folder: &PushFolder) -> Vec<String> {
        let certificates = folder.certificates().unwrap();
        certificates
            .iter()
            .map(|found| found.topic().to_owned())
            .collect()
    }

    #[test]
    fn the_last_topic_installed_is_that_of_new_enrolments_and_the_others_stay() {
        let place = tempfile::tempdir().unwrap();
        let folder = PushFolder::new(place.path().join("push"));
        assert!(topics(&folder).is_empty());
        let key = Secret::new("a key".to_owned());
        folder.keep_request_key(&key).unwrap();
        assert_eq!(folder.request_key().unwrap().unwrap().reveal(), key.reveal());

        let file = folder.install(&made(TOPIC), None).unwrap();
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(folder.request_key().unwrap().is_none(), "it has been answered");
        assert_eq!(topics(&folder), [TOPIC]);
        folder.install(&made(OTHER), None).unwrap();
        assert_eq!(topics(&folder), [OTHER, TOPIC]);
        let renewed = made(TOPIC);
        folder.install(&renewed, Some(OTHER)).unwrap();
        assert_eq!(
            topics(&folder),
            [OTHER, TOPIC],
            "a renewal changes nothing about that"
        );
        let first = &folder.certificates().unwrap()[1];
        assert_eq!(first.chain_pem(), renewed.chain_pem());
        assert_eq!(first.key_pem().reveal(), renewed.key_pem().reveal());
        assert!(
            !first.chain_pem().contains("PRIVATE"),
            "they are told apart again"
        );

        fs::remove_file(folder.path().join("topic")).unwrap();
        let error = folder.certificates().unwrap_err().to_string();
        assert!(error.contains("several push certificates"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = PushFolder::new(place.path().to_owned());
        fs::write(place.path().join("x.pem"), "nothing").unwrap();
        let error = folder.certificates().unwrap_err();
        assert!(error.to_string().contains("x.pem"), "{error}");
        fs::write(place.path().join("x.pem"), vec![b'a'; 300 * 1024]).unwrap();
        assert!(folder.certificates().is_err());
    }

    #[test]
    fn another_topic_and_a_certificate_out_of_time_are_refused_with_advice() {
        let certificate = made(OTHER);
        let now = "2026-11-24T00:00:00Z".parse().unwrap();
        let refused = |in_use: &[&str], new_topic, now| {
            let in_use: Vec<_> = in_use.iter().map(|topic| (*topic).to_owned()).collect();
            let checked = PushFolder::check(&certificate, &in_use, new_topic, now);
            checked.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(&[], false, now), "");
        assert_eq!(refused(&[TOPIC, OTHER], false, now), "");
        assert_eq!(refused(&[TOPIC], true, now), "");
        let other = refused(&[TOPIC], false, now);
        for word in [TOPIC, OTHER, "Renew", "--new-topic"] {
            assert!(other.contains(word), "{other}");
        }
        assert!(refused(&[], false, Timestamp::MAX).contains("renew it"));
        assert!(refused(&[], false, Timestamp::UNIX_EPOCH).contains("clock"));
    }
}
