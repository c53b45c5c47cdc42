//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use skep_platform::talk::{Complaint, Exit, nearest};

use crate::config::values::{Durations, Sizes};

/// The server of Skep: keeps your files and tells your devices what changed.
#[derive(Debug, Parser)]
#[command(name = "skep-server", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct ServerArgs {
    #[command(subcommand)]
    command: Option<Command>,
    /// Listen on this port of all interfaces, with defaults for everything else.
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Let anyone who reaches the server make an account: `skep connect SERVER PORT DIR`.
    #[arg(long)]
    open: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server in the foreground.
    Run(RunArgs),
    /// Make and list accounts, and give them ids.
    #[command(subcommand)]
    User(UserCommand),
    /// List devices, let new ones in and sign them out.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Print a code that makes the server's first account: `skep join CODE`.
    ///
    /// It counts once, for 15 minutes, and takes the place of one that was printed before. Works beside a running server.
    SetupCode(DataArgs),
    /// Print a code that lets a computer in: `skep join SERVER CODE`.
    ///
    /// It counts once, for 15 minutes. Works beside a running server.
    Invite(InviteArgs),
    /// Print the fingerprint by which devices know this server.
    Fingerprint(DataArgs),
    /// Write everything that is kept here to a directory, as plain files.
    Export(ExportArgs),
    /// Tell whether there is a newer release, and how to get it. Nothing is replaced, and nobody is asked whom you have not named.
    ///
    /// Exit codes: 0 nothing to do, 8 there is a newer release.
    Upgrade(UpgradeArgs),
    /// Check that everything that is kept here is there and whole.
    Fsck(FsckArgs),
    /// Let go of what is past its time and of what nothing needs any more.
    Gc(GcArgs),
    /// Read all content now and mark what is damaged.
    Scrub(ScrubArgs),
    /// Make backups.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Show what happened.
    Log(LogArgs),
    /// Show, check and explain settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

/// How to run.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
    /// Where to listen, as ADDRESS:PORT [env: SKEP_HTTP__LISTEN].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Let anyone who reaches the server make an account: `skep connect SERVER PORT DIR`.
    #[arg(long)]
    pub open: bool,
}

// The environment is read in `config`, which can tell it from the command line.
/// On which data.
#[derive(Debug, Clone, Default, Args)]
pub struct DataArgs {
    /// Where everything is kept [env: SKEP_DATA_DIR].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Settings, if not those in DIR/server.toml [env: SKEP_CONFIG].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Whom to invite.
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// Another computer of this account; if there is none of that name, whoever is to make it. Without this, the person chooses a name.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show what holds.
    Show(ConfigShowArgs),
    /// Say whether the settings can be used.
    Check(DataArgs),
    /// Print a file that explains every setting.
    Doc,
}

/// How to show settings.
#[derive(Debug, Args)]
pub struct ConfigShowArgs {
    /// Also where each comes from: flag, environment, file or default.
    #[arg(long)]
    pub origin: bool,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account.
    Add {
        /// Its login name.
        name: String,
        /// Read the password from standard input, up to the first line's end.
        #[arg(long)]
        password_stdin: bool,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Change what is known of an account.
    Set {
        /// Its login name.
        name: String,
        /// The new login name.
        #[arg(long = "name", value_name = "NEW", required_unless_present = "quota")]
        new_name: Option<String>,
        /// How much it may keep, versions and trash included: 50GB, 200GiB; `none` for as much as the disk takes.
        #[arg(long, value_name = "SIZE", value_parser = parse_quota)]
        quota: Option<QuotaLimit>,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Give an account another password. Its devices stay signed in.
    Passwd {
        /// Its login name.
        name: String,
        /// Read the password from standard input, up to the first line's end.
        #[arg(long)]
        password_stdin: bool,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Let an account not be used any more; what its devices do ends at once. Everything is kept.
    Disable {
        /// Its login name.
        name: String,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Let an account be used again.
    Enable {
        /// Its login name.
        name: String,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove an account with its files and all their versions, for good. Says what that is, and asks.
    ///
    /// What its devices have on their disks stays there. To take an account out of use and keep everything: `disable`.
    Rm {
        /// Its login name.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Give an account a new account id, by which `skep connect` adds computers, and print it: it is shown only now.
    ///
    /// The id that it had before, if any, lets no computer in any more. Computers that are connected stay so.
    NewId {
        /// Its login name.
        name: String,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// List all accounts.
    Ls {
        /// One JSON object.
        #[arg(long)]
        json: bool,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
}

/// How much an account may keep; `None`: as much as the disk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimit(pub Option<u64>);

fn parse_age(text: &str) -> Result<u64, String> {
    Durations::parse(text).ok_or_else(|| format!("`{text}` is no time; write it as 90s, 30m, 2h or 7d"))
}

fn parse_quota(text: &str) -> Result<QuotaLimit, String> {
    match text {
        "none" => Ok(QuotaLimit(None)),
        size => Sizes::parse(size)
            .map(|bytes| QuotaLimit(Some(bytes)))
            .ok_or_else(|| format!("`{size}` is no size; write it as 50GB or 200GiB, or `none`")),
    }
}

/// What to do with devices.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List all devices.
    Ls {
        /// One JSON object.
        #[arg(long)]
        json: bool,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Let in a computer that shows a code: `skep join SERVER` was typed there, without a code. Says who it is, and asks.
    ///
    /// Needs the server to run.
    Approve(ApproveArgs),
    /// Send it away.
    Deny {
        /// The code that it shows; `-` reads it from standard input.
        code: String,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Sign a device out at once.
    Revoke {
        /// Its name or id.
        device: String,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Which computer to let in.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The code that it shows; `-` reads it from standard input.
    pub code: String,
    /// To which account; not needed if there is only one, or if the computer names it.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
}

/// What to export, and whereto.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A new or empty directory.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Only what belongs to this account; without it each account gets a directory of its name.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Every stored version of every file too, also of those in the trash: DIR/all-versions/NODE/SEQ NAME, and what is there
    /// now in DIR/current.
    #[arg(long)]
    pub all_versions: bool,
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
}

/// How to check.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 if everything is fine, with 8 if something is damaged. Beside a running server it only looks."
)]
pub struct FsckArgs {
    /// Save what can be read of damaged packs, move them aside (nothing is deleted), and let devices send again what is lost.
    /// Needs the server to be stopped.
    #[arg(long)]
    pub repair: bool,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
}

/// How to collect garbage.
#[derive(Debug, Args)]
#[command(
    after_help = "`keep.versions` and `keep.trash` of the settings say how long the past is kept. A running server does this by itself once a day; by hand it \
    needs the server to be stopped."
)]
pub struct GcArgs {
    /// Only say what would go. Works beside a running server.
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
}

/// How to scrub.
#[derive(Debug, Args)]
#[command(
    after_help = "Works beside a running server, which does this by itself once a month. Ends with 8 if something is damaged; \
    `skep-server fsck` then tells which files."
)]
pub struct ScrubArgs {
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
}

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Copy all data to a directory, beside a running server or without one, and verify the copy.
    #[command(
        after_help = "The result is a data directory: `skep-server run --data-dir DIR` serves it, `skep-server fsck --data-dir DIR` \
        checks it again. It holds the server's keys; keep it as safe as the server."
    )]
    Create {
        /// A new or empty directory, best on another disk.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// On which data.
        #[command(flatten)]
        data: DataArgs,
    },
    /// Say that the data here was brought back from a copy that was made by other means.
    Restored {
        /// Of which server, which must not run.
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Which log, and how.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Who connected, from where, with which outcome.
    #[arg(long, required = true)]
    pub connections: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// So many of the newest lines.
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 1000)]
    pub lines: usize,
    /// Go on with what comes, until Ctrl-C.
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Only what did not go well.
    #[arg(long)]
    pub failed: bool,
    /// Only what devices of this account did.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Only what is not older than this: 90s, 30m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = parse_age)]
    pub since: Option<u64>,
    /// On which data.
    #[command(flatten)]
    pub data: DataArgs,
}

/// Whether there is a newer release.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// Needed: the server does not replace itself.
    #[arg(long, required = true)]
    pub check: bool,
    /// A list of releases: an HTTPS address or a file. Without it that of the setting `update.url`, or none.
    #[arg(long, value_name = "URL_OR_FILE")]
    pub from: Option<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Whose settings.
    #[command(flatten)]
    pub data: DataArgs,
}

/// The whole command line, from which help, completions and the manual page are made.
pub fn command_line() -> clap::Command {
    ServerArgs::command()
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// A command.
    Command(Command),
    /// A text for standard output: help or version.
    Text(String),
}

/// Understands a command line (with the program's name in front).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Asked, Complaint> {
    let args: Vec<OsString> = args.into_iter().collect();
    match ServerArgs::try_parse_from(&args) {
        Ok(ServerArgs { command: Some(command), .. }) => Ok(Asked::Command(command)),
        Ok(ServerArgs { command: None, port, open }) => {
            let listen = port.map(|port| format!("[::]:{port}"));
            Ok(Asked::Command(Command::Run(RunArgs { listen, open, ..RunArgs::default() })))
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Asked::Text(error.to_string()))
        }
        Err(error) => Err(complaint(&error, &args)),
    }
}

/// `text` with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

fn complaint(error: &clap::Error, args: &[OsString]) -> Complaint {
    use clap::error::{ContextKind, ContextValue};
    let usage = |what: String| Complaint::new(Exit::Usage, "E-USAGE", what);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return usage("What should be done?".into()).hint(error.to_string().trim_end());
    }
    let command = ServerArgs::command();
    let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    // A word where a port may stand is a command that is not there.
    if let Some(word) = args.get(1).and_then(|first| first.to_str())
        && word.starts_with(char::is_alphabetic)
        && !verbs.contains(&word)
    {
        let meant = nearest(word, verbs.iter().copied()).map(|verb| format!(" Did you mean: {verb}?"));
        return usage(format!("Unknown command \"{word}\".{}", meant.unwrap_or_default()))
            .hint(format!("Commands: {}, or a port to listen on.", verbs.join(", ")));
    }
    if let (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    {
        let shown = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
        return usage(format!("Missing: {}.", missing.join(", "))).hint(shown.trim());
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let rest: Vec<&str> = lines.filter(|line| !line.starts_with("For more information")).collect();
    usage(sentence(&what)).hint(rest.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, Complaint> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_contract_for_automation_parses() {
        for line in [
            "skep-server",
            "skep-server --open",
            "skep-server 7000 --open",
            "skep-server run --data-dir D --listen 127.0.0.1:1 --config F --open",
            "skep-server user add maya --password-stdin --data-dir D",
            "skep-server user ls --json --data-dir D",
            "skep-server user new-id maya --data-dir D",
            "skep-server device ls --data-dir D",
            "skep-server device revoke thinkpad --data-dir D",
            "skep-server device approve WDJB-MJHT --user maya --yes --data-dir D",
            "skep-server device deny WDJB-MJHT --data-dir D",
            "skep-server fingerprint --data-dir D",
            "skep-server export E --data-dir D",
            "skep-server export E --data-dir D --user maya --all-versions",
            "skep-server log --connections --json --data-dir D",
            "skep-server log --connections -f --failed --user maya --since 2h",
            "skep-server fsck --data-dir D",
            "skep-server gc --data-dir D",
            "skep-server gc --dry-run --json --data-dir D",
            "skep-server scrub --json --data-dir D",
            "skep-server backup create B --data-dir D",
            "skep-server config show --origin --json --data-dir D",
            "skep-server config check --config F",
            "skep-server config doc",
            "skep-server completions bash",
            "skep-server man",
            "skep-server fsck --repair --json --data-dir D",
        ] {
            assert!(matches!(parsed(line), Ok(Asked::Command(_))), "{line}: {:?}", parsed(line).err());
        }
        let Ok(Asked::Command(Command::Run(run))) = parsed("skep-server 7000") else {
            panic!("a port runs the server")
        };
        assert_eq!(run.listen.unwrap(), "[::]:7000");
        assert!(matches!(parsed("skep-server --version"), Ok(Asked::Text(_))));
        assert!(matches!(parsed("skep-server --help"), Ok(Asked::Text(_))));
    }

    #[test]
    fn slips_are_explained() {
        let complaint = parsed("skep-server usr add maya").unwrap_err();
        assert_eq!(complaint.exit, Exit::Usage);
        let first_line = complaint.to_string().lines().next().unwrap().to_owned();
        assert_eq!(first_line, "Unknown command \"usr\". Did you mean: user?   E-USAGE");
        for line in ["skep-server 0", "skep-server 70000", "skep-server run --lisen x", "skep-server user add"] {
            assert_eq!(parsed(line).unwrap_err().exit, Exit::Usage, "{line}");
        }
    }
}
