//! `provost commands list` and `cancel`: what waits for a device, and withdrawing it.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::door::Door;
use super::place::Place;
use super::print;
use crate::app::queued::Queued;
use crate::ids::{CommandUuid, EnrollmentId};

/// Options of `provost commands`.
#[derive(Debug, clap::Args)]
pub(super) struct CommandsArgs {
    #[command(subcommand)]
    command: CommandsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CommandsCommand {
    /// Say which commands wait for a device, and what for.
    List(ListArgs),
    /// Withdraw commands that wait. One that the device has been given already may be carried out all the same.
    Cancel(CancelArgs),
}

#[derive(Debug, clap::Args)]
struct Whose {
    /// The device, as `status.enrollmentId` of its Device has it; of a user's channel `DEVICE:USER`.
    #[arg(value_name = "DEVICE")]
    device: String,
    #[command(flatten)]
    place: Place,
    /// How to print them: for people, or one JSON object a line.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
}

impl Whose {
    fn enrollment(&self) -> anyhow::Result<EnrollmentId> {
        EnrollmentId::parse_with_user(&self.device).with_context(|| self.device.clone())
    }

    fn print(&self, commands: &[Queued]) -> anyhow::Result<()> {
        let mut text = String::new();
        for command in commands {
            text += &match self.output {
                Output::Json => serde_json::to_string(command)?,
                Output::Human => for_people(command),
            };
            text.push('\n');
        }
        print::out(&text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Human,
    Json,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, clap::Args)]
struct CancelArgs {
    #[command(flatten)]
    whose: Whose,
    /// Which, as `provost commands list` says.
    #[arg(value_name = "UUID", required_unless_present = "all", conflicts_with = "all")]
    uuids: Vec<String>,
    /// All that wait for it.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: CommandsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        CommandsCommand::List(args) => list(&args.whose).await,
        CommandsCommand::Cancel(args) => cancel(&args).await,
    }
}

async fn list(whose: &Whose) -> anyhow::Result<ExitCode> {
    let enrollment = whose.enrollment()?;
    let commands = Door::open_existing(&whose.place.data_dir)
        .await?
        .commands(&enrollment)
        .await?;
    if commands.is_empty() && whose.output == Output::Human {
        print::note("nothing waits");
    }
    whose.print(&commands)?;
    Ok(ExitCode::SUCCESS)
}

async fn cancel(args: &CancelArgs) -> anyhow::Result<ExitCode> {
    let enrollment = args.whose.enrollment()?;
    let uuids = args
        .uuids
        .iter()
        .map(|uuid| CommandUuid::parse(uuid).with_context(|| uuid.clone()));
    let uuids: Vec<CommandUuid> = uuids.collect::<anyhow::Result<_>>()?;
    let mut door = Door::open_existing(&args.whose.place.data_dir).await?;
    let mut withdrawn = Vec::new();
    if args.all {
        withdrawn = door.cancel(&enrollment, None).await?;
    }
    let mut missing = Vec::new();
    for uuid in &uuids {
        let ended = door.cancel(&enrollment, Some(uuid)).await?;
        if ended.is_empty() {
            missing.push(uuid.as_str());
        }
        withdrawn.extend(ended);
    }
    args.whose.print(&withdrawn)?;
    print::note(&format!("withdrawn: {}", withdrawn.len()));
    if !missing.is_empty() {
        bail!("these do not wait for {enrollment}: {}", missing.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn for_people(command: &Queued) -> String {
    format!(
        "{}  {}  queued {:.0}, given up after {:.0}: {}",
        command.uuid, command.request_type, command.queued_at, command.deadline, command.waiting
    )
}
