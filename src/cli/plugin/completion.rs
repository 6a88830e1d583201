//! Completions: scripts for `kubectl-provost` itself, and answers for kubectl's own completion.
//!
//! kubectl runs `kubectl_complete-provost` with the words after `kubectl provost`, the last of them unfinished, and reads one candidate a
//! line and a directive at the end. What the API has to be asked for is left out where it does not answer at once.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Command, CommandFactory as _};
use clap_complete::Shell;
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::arguments::{ConnectionArgs, PluginCli};
use super::rule::Policies;
use super::session::Session;
use super::{PLUGIN, find};
use crate::api::{Device, GitSource};
use crate::cli::{completions, print};

/// How long the API may take: somebody waits with a finger on the key.
const PATIENCE: Duration = Duration::from_secs(3);
/// The directive "no file names", in Cobra's terms.
const NO_FILES: &str = ":4\n";
/// The directive "as the shell likes".
const DEFAULT: &str = ":0\n";

/// Options of `kubectl provost completion`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell. It completes the words of `kubectl-provost`; for those of `kubectl provost`, link the program as
    /// `kubectl_complete-provost` as well.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn script(args: &CompletionArgs) -> anyhow::Result<ExitCode> {
    print::out(&completions::script(args.shell, &mut command(), PLUGIN))?;
    Ok(ExitCode::SUCCESS)
}

/// The command line under the name of its file, which a shell completes.
fn command() -> Command {
    PluginCli::command().bin_name(PLUGIN)
}

/// The candidates for the last of the words, and the directive.
pub(super) async fn answer(words: impl Iterator<Item = OsString>) -> String {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", [].as_slice()),
    };
    let line = Line::read(before);
    let candidates = match (&line.pending, line.subcommand()) {
        // The value of an option.
        (Some(option), _) => match values(&line, option) {
            Some(values) => values,
            None if option == "namespace" => Vec::new(),
            None => return DEFAULT.to_owned(),
        },
        (None, subcommand) if last.starts_with('-') => options(subcommand),
        (None, None) => subcommands(),
        (None, Some(subcommand)) => {
            tokio::time::timeout(PATIENCE, objects(&line, subcommand.get_name(), last))
                .await
                .ok()
                .and_then(Result::ok)
                .unwrap_or_default()
        }
    };
    let mut text = String::new();
    for candidate in candidates.iter().filter(|candidate| candidate.starts_with(last)) {
        text.push_str(candidate);
        text.push('\n');
    }
    text.push_str(NO_FILES);
    text
}

/// The finished words, taken apart as the command line would be.
struct Line {
    root: Command,
    arguments: Vec<String>,
    connection: ConnectionArgs,
    /// The option whose value comes next.
    pending: Option<String>,
}

impl Line {
    fn read(words: &[String]) -> Self {
        let mut root = command();
        root.build();
        let mut line = Self {
            root,
            arguments: Vec::new(),
            connection: ConnectionArgs::default(),
            pending: None,
        };
        for word in words {
            line.take(word);
        }
        line
    }

    fn take(&mut self, word: &str) {
        if let Some(option) = self.pending.take() {
            self.set(&option, word);
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long
                .split_once('=')
                .map_or((long, None), |(name, value)| (name, Some(value)));
            match value {
                Some(value) => self.set(name, value),
                None => self.option(|arg| arg.get_long() == Some(name)),
            }
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            self.option(|arg| arg.get_short().is_some_and(|letter| short == letter.to_string()));
        } else {
            self.arguments.push(word.to_owned());
        }
    }

    fn option(&mut self, is: impl Fn(&clap::Arg) -> bool) {
        let command = self.subcommand().unwrap_or(&self.root);
        let found = command
            .get_arguments()
            .find(|arg| is(arg))
            .map(|arg| (arg.get_long().unwrap_or_default().to_owned(), takes_value(arg)));
        match found {
            Some((long, true)) => self.pending = Some(long),
            Some((long, false)) if long == "all-namespaces" => self.connection.all_namespaces = true,
            _ => {}
        }
    }

    fn set(&mut self, option: &str, value: &str) {
        let value = value.to_owned();
        match option {
            "namespace" => self.connection.namespace = Some(value),
            "context" => self.connection.context = Some(value),
            "kubeconfig" => self.connection.kubeconfig = Some(value.into()),
            "as" => self.connection.as_user = Some(value),
            "as-group" => self.connection.as_group.push(value),
            _ => {}
        }
    }

    fn subcommand(&self) -> Option<&Command> {
        self.root.find_subcommand(self.arguments.first()?)
    }
}

fn takes_value(arg: &clap::Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

/// The values that an option can have, where they are few.
fn values(line: &Line, option: &str) -> Option<Vec<String>> {
    let command = line.subcommand().unwrap_or(&line.root);
    let arg = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(option))?;
    let values = arg.get_possible_values();
    (!values.is_empty()).then(|| values.iter().map(|value| value.get_name().to_owned()).collect())
}

fn options(subcommand: Option<&Command>) -> Vec<String> {
    let root = command();
    let command = subcommand.unwrap_or(&root);
    let longs = command.get_arguments().filter_map(|arg| arg.get_long());
    let longs: BTreeSet<String> = longs.map(|long| format!("--{long}")).collect();
    longs.into_iter().collect()
}

fn subcommands() -> Vec<String> {
    let mut names: Vec<String> = command()
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| match command.get_about() {
            Some(about) => format!("{}\t{about}", command.get_name()),
            None => command.get_name().to_owned(),
        })
        .collect();
    names.sort();
    names
}

/// What the API knows by a name that fits.
async fn objects(line: &Line, subcommand: &str, last: &str) -> anyhow::Result<Vec<String>> {
    let shells = ["bash", "elvish", "fish", "powershell", "zsh"];
    match (subcommand, line.arguments.len()) {
        ("completion", 1) => Ok(shells.map(str::to_owned).to_vec()),
        ("device" | "why", 1) => devices(&Session::open(&line.connection).await?, "").await,
        ("why", 2) => {
            let mut session = Session::open(&line.connection).await?;
            let device = line.arguments.get(1).map(String::as_str).unwrap_or_default();
            let device = find::device(&session, device).await?;
            session.everywhere = false;
            session.namespace = device.namespace().unwrap_or_default();
            Ok(Policies::read(&session, &device).await?.ids(last.contains('/')))
        }
        ("reconcile", 1) => {
            let session = Session::open(&line.connection).await?;
            if last.starts_with("device/") {
                return devices(&session, "device/").await;
            }
            let sources = session
                .list(&ListParams::default(), |source: GitSource| {
                    Some(source.name_any())
                })
                .await?;
            let named = sources.iter().map(|name| format!("gitsource/{name}"));
            Ok(named
                .chain(sources.iter().cloned())
                .chain(["device/".to_owned()])
                .collect())
        }
        _ => Ok(Vec::new()),
    }
}

async fn devices(session: &Session, prefix: &str) -> anyhow::Result<Vec<String>> {
    session
        .list(&ListParams::default(), |device: Device| {
            let serial = device
                .status
                .as_ref()
                .and_then(|status| status.serial_number.clone());
            let serial = serial.map(|serial| format!("\tserial {serial}"));
            Some(format!(
                "{prefix}{}{}",
                device.name_any(),
                serial.unwrap_or_default()
            ))
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn complete(words: &[&str]) -> Vec<String> {
        let answer = answer(words.iter().map(OsString::from)).await;
        let mut lines: Vec<String> = answer.lines().map(str::to_owned).collect();
        lines.pop();
        lines
    }

    #[tokio::test]
    async fn words_that_need_no_api_are_completed() {
        let subcommands = complete(&["de"]).await;
        assert_eq!(subcommands.len(), 2, "{subcommands:?}");
        assert!(
            subcommands[1].starts_with("devices\tList devices"),
            "{subcommands:?}"
        );
        assert_eq!(complete(&["devices", "--sort", "w"]).await, ["worst"]);
        assert_eq!(
            complete(&["devices", "-o", ""]).await,
            ["wide", "json", "yaml", "name"]
        );
        assert_eq!(complete(&["devices", "--fai"]).await, ["--failing"]);
        assert_eq!(complete(&["-n", "fleet", "completion", "z"]).await, ["zsh"]);
        assert_eq!(
            answer(["--kubeconfig", ""].iter().map(OsString::from)).await,
            DEFAULT
        );
    }

    #[test]
    fn options_before_the_last_word_are_understood() {
        let words = ["-A", "--context=prod", "why", "--as", "bob", "-n", "fleet", "abc"].map(str::to_owned);
        let line = Line::read(&words);
        assert_eq!(line.arguments, ["why", "abc"]);
        assert_eq!(line.connection.namespace.as_deref(), Some("fleet"));
        assert_eq!(line.connection.as_user.as_deref(), Some("bob"));
        assert!(line.connection.all_namespaces);
        assert_eq!(line.connection.context.as_deref(), Some("prod"));
    }
}
