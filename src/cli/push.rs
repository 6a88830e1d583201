//! `provost push certificate`: what an administrator does once a year.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use super::door::Door;
use super::place::Place;
use super::print;
use crate::app::data_dir::push_folder;
use crate::clock::{Clock as _, SystemClock};
use crate::ids::PushTopic;
use crate::push::expiry::{Expiry, days_left};
use crate::push::request::{Request, new_key};
use crate::push::{CertificateError, PushCertificate, PushFolder};
use crate::secret::Secret;

/// Options of `provost push`.
#[derive(Debug, clap::Args)]
pub(super) struct PushArgs {
    #[command(subcommand)]
    command: PushCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PushCommand {
    /// Get, install, renew and look at push certificates.
    ///
    /// Apple's push service wakes devices only for the holder of a push certificate. Apple issues it for a year; it has to be renewed in time,
    /// with the same Apple Account, because devices accept pushes only for the topic that they enrolled with, and the topic is part of the
    /// certificate. Once a year: `request`, the portal at identity.apple.com/pushcert, `install`.
    Certificate(CertificateArgs),
}

#[derive(Debug, clap::Args)]
struct CertificateArgs {
    #[command(subcommand)]
    command: CertificateCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CertificateCommand {
    /// Make a key and a request for a push certificate, for Apple's portal.
    ///
    /// Apple's portal takes only requests that an MDM vendor has signed. There are two ways:
    ///
    /// With an MDM vendor certificate of your own (Apple gives it to members of its Developer Enterprise Program or Developer Program who ask for
    /// it): give it with --vendor-certificate and --vendor-key. What is written then is what the portal takes.
    ///
    /// Without one: a plain request is written. Have somebody sign it who has a vendor certificate; what they give back is for the portal. The
    /// key stays here: nobody needs it to sign.
    ///
    /// The key is made once and kept until `install`. Asking again gives another request for the same key.
    Request(RequestArgs),
    /// Install the certificate that Apple's portal has made of the request.
    ///
    /// It must belong to the key of the request, be in its time, and have the topic that is in use: Apple's portal gives another topic to
    /// every certificate that is created rather than renewed, and devices that are enrolled with the old one are then never woken again. The topics in use are
    /// those that devices are enrolled with, and those of the certificates that are installed. A running server takes
    /// the certificate within a minute.
    Install(InstallArgs),
    /// Show topics, chains and how many days are left.
    Show(ShowArgs),
}

/// Where push certificates are: in the folder `push` of a data directory, whether or not a server runs in it, or elsewhere.
#[derive(Debug, clap::Args)]
struct Cabinet {
    #[command(flatten)]
    place: Place,
    /// Another folder for keys and certificates than that of a data directory, on a computer that is not the server: for a Secret, say.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Cabinet {
    fn folder(&self) -> PushFolder {
        PushFolder::new(
            self.folder
                .clone()
                .unwrap_or_else(|| push_folder(&self.place.data_dir)),
        )
    }

    /// The options that lead here.
    fn options(&self) -> String {
        match &self.folder {
            Some(folder) => format!("--folder {}", folder.display()),
            None => format!("--data-dir {}", self.place.data_dir.display()),
        }
    }

    /// The topics that devices are enrolled with here, the most frequent first. None where there is no server to ask.
    async fn topics(&self) -> anyhow::Result<Vec<(PushTopic, u32)>> {
        let data_dir = &self.place.data_dir;
        if self.folder.is_some() || !Door::is_there(data_dir) {
            return Ok(Vec::new());
        }
        let topics = Door::open(data_dir).await?.push_topics().await;
        let topics = topics.context("the topics that devices are enrolled with could not be read")?;
        let mut topics: Vec<_> = topics.into_iter().collect();
        topics.sort_by_key(|(_, devices)| Reverse(*devices));
        Ok(topics)
    }
}

#[derive(Debug, clap::Args)]
struct RequestArgs {
    #[command(flatten)]
    cabinet: Cabinet,
    /// The name in the request. Apple puts a subject of its own into the certificate.
    #[arg(long, value_name = "NAME", default_value = "Provost")]
    common_name: String,
    /// Your MDM vendor certificate, PEM, followed by Apple's WWDR intermediate and root.
    #[arg(long, value_name = "FILE", requires = "vendor_key")]
    vendor_certificate: Option<PathBuf>,
    /// The key of the vendor certificate: RSA, PEM, without a password.
    #[arg(long, value_name = "FILE", requires = "vendor_certificate")]
    vendor_key: Option<PathBuf>,
    /// Write the request to this file as well.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    /// The certificate from Apple's portal, PEM.
    #[arg(value_name = "FILE")]
    certificate: PathBuf,
    #[command(flatten)]
    cabinet: Cabinet,
    /// The certificate's key, where the request was not made here: PKCS#8 PEM.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificate in use, where it was not installed here: the topic must be the same.
    #[arg(long, value_name = "FILE")]
    replaces: Option<PathBuf>,
    /// Begin another topic, for new enrolments. Devices that are enrolled go on with the certificate that they have.
    #[arg(long)]
    new_topic: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// A certificate in a file, instead of those installed.
    #[arg(value_name = "FILE")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    cabinet: Cabinet,
}

pub(super) async fn run(args: PushArgs) -> anyhow::Result<ExitCode> {
    let PushCommand::Certificate(CertificateArgs { command }) = args.command;
    let now = SystemClock.now();
    match &command {
        CertificateCommand::Request(args) => request(args),
        CertificateCommand::Install(args) => install(args, now).await,
        CertificateCommand::Show(args) => show(args, now),
    }
}

fn request(args: &RequestArgs) -> anyhow::Result<ExitCode> {
    let folder = args.cabinet.folder();
    let key_file = folder.request_key_path();
    let key = if let Some(key) = folder.request_key()? {
        key
    } else {
        let key = new_key()?;
        folder.keep_request_key(&key)?;
        key
    };
    let request = Request::new(&key, &args.common_name).with_context(|| key_file.display().to_string())?;
    let mut file = folder.keep_request("request.csr", &request.pem)?;
    let mut contents = request.pem.clone();
    let signed = match (&args.vendor_certificate, &args.vendor_key) {
        (Some(certificate), Some(vendor_key)) => {
            let chain = read(certificate)?;
            contents = request
                .signed_by_vendor(&chain, &Secret::new(read(vendor_key)?))
                .with_context(|| {
                    let (certificate, key) = (certificate.display(), vendor_key.display());
                    format!("--vendor-certificate {certificate} --vendor-key {key}")
                })?;
            file = folder.keep_request("request.plist", &contents)?;
            true
        }
        _ => false,
    };
    if let Some(out) = &args.out {
        fs::write(out, &contents).with_context(|| format!("--out {}", out.display()))?;
        file.clone_from(out);
    }
    let mut text = format!(
        "key       {}  (stays here)\nrequest   {}\n\nWhat to do now:\n",
        key_file.display(),
        file.display()
    );
    if !signed {
        text.push_str(
            "- Have the request signed with an MDM vendor certificate: Apple's portal refuses a plain one. With one of your own, run this again with\n  \
             --vendor-certificate and --vendor-key.\n",
        );
    }
    text.push_str(
        "- Sign in at https://identity.apple.com/pushcert with an Apple Account that belongs to the organisation, not to a person.\n",
    );
    match folder.certificates()?.first() {
        Some(in_use) => {
            let _ = writeln!(
                text,
                "- Choose \"Renew\" beside the certificate for {}, never \"Create a Certificate\", and upload the signed request.",
                in_use.topic()
            );
        }
        None => text.push_str("- Choose \"Create a Certificate\" and upload the signed request. When you renew an old certificate: \"Renew\" beside it.\n"),
    }
    let _ = writeln!(
        text,
        "- Download the certificate and run: provost push certificate install FILE {}",
        args.cabinet.options()
    );
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn install(args: &InstallArgs, now: Timestamp) -> anyhow::Result<ExitCode> {
    let folder = args.cabinet.folder();
    let installed = folder.certificates()?;
    let pem = read(&args.certificate)?;
    let certificate = match &args.key {
        Some(key) => PushCertificate::from_pem(&pem, &Secret::new(read(key)?))
            .with_context(|| format!("{} with --key {}", args.certificate.display(), key.display()))?,
        None => with_key_of_request(&folder, &pem, args)?,
    };
    let renews = installed.iter().any(|known| known.topic() == certificate.topic());
    let in_use = match &args.replaces {
        Some(file) => vec![topic_of(file)?],
        // One of several topics is renewed by its own certificate.
        None if renews => Vec::new(),
        None => topics_in_use(&installed, args.cabinet.topics().await?),
    };
    PushFolder::check(&certificate, &in_use, args.new_topic, now)
        .with_context(|| args.certificate.display().to_string())?;
    // A topic of devices that came from elsewhere is no reason to give new devices another one than before.
    let before = installed.first().filter(|_| renews || !args.new_topic);
    let of_new = before.map(PushCertificate::topic);
    let file = folder.install(&certificate, of_new)?;
    let mut text = format!("installed {}\n{}", file.display(), describe(&certificate, now));
    text.push_str("\nA running server takes it within a minute.");
    text.push_str(match (before, renews) {
        (_, true) => "\n",
        (Some(_), false) => " New devices go on to enrol with the topic that they had before, which `show` tells.\n",
        (None, _) if installed.is_empty() => {
            " Devices enrol with this topic then. Those enrolled without a push certificate have to enrol again to be woken.\n"
        }
        (None, _) => " New devices enrol with this topic then. Keep renewing the others for as long as devices have them.\n",
    });
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The certificate with the key that it was requested for.
fn with_key_of_request(
    folder: &PushFolder,
    pem: &str,
    args: &InstallArgs,
) -> anyhow::Result<PushCertificate> {
    let Some(key) = folder.request_key()? else {
        bail!(
            "there is no request under way in {}: make one with `provost push certificate request {}`, or give the certificate's key with --key",
            folder.path().display(),
            args.cabinet.options()
        );
    };
    PushCertificate::from_pem(pem, &key).map_err(|error| match error {
        CertificateError::MatchKey(_) => anyhow::anyhow!(
            "{}: the certificate was made from another request than the one whose key is in {}. Upload the request that is there to Apple's portal, or \
             give the certificate's own key with --key",
            args.certificate.display(),
            folder.request_key_path().display()
        ),
        error => anyhow::Error::new(error).context(args.certificate.display().to_string()),
    })
}

fn show(args: &ShowArgs, now: Timestamp) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.certificate {
        let certificate =
            PushCertificate::without_key(&read(file)?).with_context(|| file.display().to_string())?;
        print::out(&describe(&certificate, now))?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = args.cabinet.folder();
    let installed = folder.certificates()?;
    if installed.is_empty() {
        bail!(
            "no push certificate is installed in {}: `provost push certificate request {}` begins",
            folder.path().display(),
            args.cabinet.options()
        );
    }
    let texts: Vec<_> = installed
        .iter()
        .enumerate()
        .map(|(position, certificate)| {
            let of_new = if position == 0 && installed.len() > 1 {
                "enrolments  new devices get this topic\n"
            } else {
                ""
            };
            describe(certificate, now) + of_new
        })
        .collect();
    print::out(&texts.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// A certificate for people.
fn describe(certificate: &PushCertificate, now: Timestamp) -> String {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    let days = days_left(not_after, now);
    let left = match Expiry::of(not_before, not_after, now) {
        Expiry::Ended => "it has ended: devices are not woken".to_owned(),
        Expiry::NotYet => "its time has not come".to_owned(),
        Expiry::Far => format!("{days} days left"),
        Expiry::Within(_) => format!("{days} days left: renew it now"),
    };
    let mut text = format!(
        "topic       {}\nvalid       {:.0} to {:.0}  ({left})\n",
        certificate.topic(),
        not_before,
        not_after
    );
    for (position, link) in certificate.links().iter().enumerate() {
        let label = if position == 0 { "chain" } else { "" };
        let _ = writeln!(text, "{label:<12}{}", link.subject);
        if position + 1 == certificate.links().len() {
            let _ = writeln!(text, "{:<12}issued by {}", "", link.issuer);
        }
    }
    text
}

/// The topics that a certificate is wanted for: of the certificates that are there, and of devices, which may have come with a topic of another
/// server that none is there for yet.
fn topics_in_use(installed: &[PushCertificate], of_devices: Vec<(PushTopic, u32)>) -> Vec<String> {
    let mut topics: Vec<_> = of_devices
        .into_iter()
        .map(|(topic, _)| topic.to_string())
        .collect();
    topics.extend(installed.iter().map(|first| first.topic().to_owned()));
    let mut told = BTreeSet::new();
    topics.retain(|topic| told.insert(topic.clone()));
    topics
}

fn topic_of(file: &Path) -> anyhow::Result<String> {
    let certificate =
        PushCertificate::without_key(&read(file)?).with_context(|| file.display().to_string())?;
    Ok(certificate.topic().to_owned())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
