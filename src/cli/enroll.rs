//! `provost enroll invite`: the right to enrol, for one device at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::Method;

use super::place::Place;
use super::print;
use super::socket::Socket;
use crate::app::admin_http::InviteOrder;
use crate::controllers::duration;
use crate::enrollment::Invite;
use crate::ids::{EnrollmentId, Namespace, SerialNumber};

/// Options of `provost enroll`.
#[derive(Debug, clap::Args)]
pub(super) struct EnrollArgs {
    #[command(subcommand)]
    command: EnrollCommand,
}

#[derive(Debug, clap::Subcommand)]
enum EnrollCommand {
    /// Make invitations. Each allows one device to enrol, once.
    ///
    /// A device opens the address of its profile, which leads it through everything. A program may ask for an identity certificate at the URL
    /// instead, with the challenge as a Bearer token and a PKCS#10 request as the body. A Device object then appears in the namespace, with the labels.
    Invite(InviteArgs),
}

#[derive(Debug, clap::Args)]
struct InviteArgs {
    #[command(flatten)]
    place: Place,
    /// The fleet that the device will belong to.
    #[arg(short, long, value_name = "NS")]
    namespace: String,
    /// Only the device with this serial number may use it.
    #[arg(long, value_name = "S")]
    serial: Option<String>,
    /// Only the device with this UDID may use it.
    #[arg(long, value_name = "U")]
    udid: Option<String>,
    /// Labels of the Device object.
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    labels: Vec<String>,
    /// How long it is good for.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    expires_in: String,
    /// How many to make.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["serial", "udid"])]
    count: u32,
    /// How to print them: for people, or one JSON object a line.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Human,
    Json,
}

pub(super) async fn run(args: EnrollArgs) -> anyhow::Result<ExitCode> {
    let EnrollCommand::Invite(args) = args.command;
    let invites = send(&args.place.data_dir, &order(&args)?).await?;
    let text = match args.output {
        Output::Json => {
            let lines = invites.iter().map(serde_json::to_string);
            lines.collect::<Result<Vec<_>, _>>()?.join("\n") + "\n"
        }
        Output::Human => invites.iter().map(for_people).collect::<Vec<_>>().join("\n"),
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn for_people(invite: &Invite) -> String {
    format!(
        "url        {}\nprofile    {}\nchallenge  {}\nexpires    {:.0}\n",
        invite.url, invite.profile, invite.challenge, invite.expires_at
    )
}

fn order(args: &InviteArgs) -> anyhow::Result<InviteOrder> {
    let mut labels = BTreeMap::new();
    for label in &args.labels {
        let Some((key, value)) = label.split_once('=') else {
            bail!("--labels {label}: a label is written KEY=VALUE");
        };
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(InviteOrder {
        namespace: Namespace::parse(&args.namespace).context("--namespace")?,
        serial_number: args
            .serial
            .as_deref()
            .map(SerialNumber::parse)
            .transpose()
            .context("--serial")?,
        udid: args
            .udid
            .as_deref()
            .map(EnrollmentId::parse)
            .transpose()
            .context("--udid")?,
        labels,
        valid_seconds: duration::parse(&args.expires_in)
            .filter(|duration| *duration >= Duration::from_secs(1))
            .with_context(|| {
                format!(
                    "--expires-in {}: write a duration such as 30m or 24h",
                    args.expires_in
                )
            })?
            .as_secs(),
        count: args.count,
    })
}

/// Asks the running server for invitations, through its socket file.
pub(super) async fn send(data_dir: &Path, order: &InviteOrder) -> anyhow::Result<Vec<Invite>> {
    let mut socket = Socket::to_running(data_dir).await?;
    let body = serde_json::to_vec(order)?;
    let (_, answer) = socket
        .ask(Method::POST, "/v1/invitations", "application/json", body)
        .await?;
    Ok(serde_json::from_slice(&answer)?)
}
