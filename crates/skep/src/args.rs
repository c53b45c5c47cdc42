//! The command line.

mod overview;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use skep_platform::talk::{Complaint, Exit, nearest};
use skep_protocol::Fingerprint;
use skep_types::product;

use crate::home::Rate;

/// Your files, on your server.
#[derive(Debug, Parser)]
#[command(name = "skep", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct ClientArgs {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Where configuration, state and socket of this client are.
    #[arg(long, global = true, value_name = "DIR", env = "SKEP_HOME")]
    pub home: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what went wrong.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// When to colour.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Colour::Auto)]
    pub color: Colour,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect this computer to a server.
    #[command(after_help = JOIN_EXAMPLES)]
    Join(JoinArgs),
    /// Connect this computer in the classic form, and keep the folder synced until it is stopped
    ///
    /// The first computer needs no ACCOUNT_ID: a server that was started with --open makes a new account for it, and the
    /// account's id is printed on standard output, once. Every other computer is given this id, and receives everything.
    /// Who has the id can add computers, so keep it as a password; `skep account-id replace` makes another one.
    ///
    /// The same command again, with the id or without it, starts again where it was. The server's key is trusted as it is
    /// seen the first time, and no other one from then on. Runs in the foreground until SIGTERM or Ctrl-C.
    #[command(verbatim_doc_comment, after_help = CONNECT_EXAMPLES)]
    Connect(ConnectArgs),
    /// The id by which `connect` adds computers to the account.
    #[command(subcommand)]
    AccountId(AccountIdCommand),
    /// What is synced, what is not, and why.
    Status {
        /// Why this file or directory is as it is.
        path: Option<PathBuf>,
        /// Say nothing; tell by the exit code: 0 well, 3 not running or not reachable, 7 needs a person.
        #[arg(long)]
        check: bool,
    },
    /// What is in a directory of the synced folder, and how far each entry is.
    ///
    /// States: here (equal here and on the server), sending, receiving, waiting, problem, two versions.
    #[command(after_help = "Exit codes: 0 done, 3 background service off, 4 no such path.")]
    Ls(LsArgs),
    /// Files with two versions: changed here and elsewhere at the same time.
    ///
    /// Without a command: lists them.
    #[command(after_help = CONFLICTS_EXAMPLES)]
    Conflicts {
        /// What to do.
        #[command(subcommand)]
        command: Option<ConflictsCommand>,
    },
    /// What is not synced by rule: `.skepignore` files, as `.gitignore` ones, and a short list that is built in.
    ///
    /// Without a command: lists what is ignored. A `.skepignore` counts for its directory and all beneath it, is synced as any other
    /// file, and takes effect at once. What is ignored is never deleted, neither here nor elsewhere.
    #[command(after_help = IGNORE_EXAMPLES)]
    Ignore {
        /// What to do.
        #[command(subcommand)]
        command: Option<IgnoreCommand>,
    },
    /// How fast bytes may go to the server and come from it.
    ///
    /// Without a flag: shows it. Kept for later starts. Small changes go ahead of big files that are on their way.
    #[command(after_help = LIMIT_EXAMPLES)]
    Limit(LimitArgs),
    /// Deletions that look like a mistake and wait for you: found gone, though nobody saw them go.
    ///
    /// Without a command: lists them.
    #[command(after_help = HOLDS_EXAMPLES)]
    Holds {
        /// What to do.
        #[command(subcommand)]
        command: Option<HoldsCommand>,
    },
    /// Stop sending, fetching and applying for a while; changes wait, here and on the server.
    ///
    /// Outlives restarts. What is being written to this disk in this moment is finished. `skep sync wait` ends with exit code 7
    /// while syncing is paused. Without a time: until `skep resume`.
    #[command(after_help = PAUSE_EXAMPLES)]
    Pause(PauseArgs),
    /// Go on after a pause.
    Resume,
    /// The versions of a file, also of a deleted one, the newest first.
    ///
    /// Versions are kept on the server: each has a number, and `skep restore` and `skep get` take it. Below them, numbered `safe1`,
    /// `safe2`, …: files of that name that had to give way on this computer and that are in no version (`.skep/trash`, some days).
    #[command(after_help = "Exit codes: 0 done, 3 server not reachable, 4 no such file, now or in the trash.")]
    History(HistoryArgs),
    /// Bring back an old version of a file, or a deleted file or directory.
    ///
    /// An old version becomes the newest one; what is there now stays a version, so nothing is lost and the next `restore` undoes it. A
    /// deleted file comes back with its history, where it was; if something else has its name, as `name (restored)`.
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Get a copy of a file as it is or was, without changing anything.
    #[command(after_help = GET_EXAMPLES)]
    Get(GetArgs),
    /// What was deleted and can be brought back.
    ///
    /// Without a command: lists it, the last deleted first.
    #[command(args_conflicts_with_subcommands = true)]
    Trash {
        /// What to do.
        #[command(subcommand)]
        command: Option<TrashCommand>,
        /// What to list.
        #[command(flatten)]
        list: TrashLsArgs,
    },
    /// Set a directory back to how it was at some time, with all that is in it.
    ///
    /// What was deleted since comes back, what was changed returns to its older version, name and place, what was made since goes to
    /// the trash. All of it are new versions, so a rewind can be undone by another one.
    #[command(after_help = REWIND_EXAMPLES)]
    Rewind(RewindArgs),
    /// What happened on this computer: sent, received, deleted, two versions, problems, connections.
    ///
    /// Reads `activity.log` in the client's home, so it works while the background service is off; --follow needs the service.
    /// With --json: one object; with --json --follow: one object a line.
    Log(LogArgs),
    /// What is synced, and when.
    #[command(subcommand)]
    Sync(SyncCommand),
    /// The background service.
    #[command(subcommand)]
    Daemon(DaemonCommand),
    /// As whom, and as which device, this computer is signed in.
    Whoami,
    /// Your account: user name, since when, what signs in to it.
    Profile {
        /// Give it this user name from now on.
        #[arg(long, value_name = "NEW")]
        name: Option<String>,
    },
    /// Change your password. Computers stay signed in.
    Passwd {
        /// Read the present password and the new one from standard input, each on a line.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Sign this computer out. Its folder stays as it is.
    Logout,
    /// The computers of your account.
    Devices {
        /// List them if nothing is said.
        #[command(subcommand)]
        command: Option<DevicesCommand>,
    },
    /// Check everything: configuration, folder, service, server, disk; and say what to do.
    ///
    /// Exit codes: 0 all well, 8 something is to be done.
    Doctor {
        /// Also read every file again, and compare it with what it should hold. What the disk has damaged is repaired from the server.
        #[arg(long)]
        verify: bool,
    },
    /// Tell whether there is a newer release, and how to get it. Nothing is replaced, and nobody is asked whom you have not named.
    ///
    /// Exit codes: 0 nothing to do, 8 there is a newer release.
    Update(UpdateArgs),
    /// The program's version.
    Version,
    /// Completions of the commands for a shell, on standard output.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// The manual page, on standard output.
    Man,
}

/// Whether there is a newer release.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Needed: the program does not replace itself.
    #[arg(long, required = true)]
    pub check: bool,
    /// A list of releases: an HTTPS address or a file. Without it that of `[update] url` in `config.toml`, or none.
    #[arg(long, value_name = "URL_OR_FILE")]
    pub from: Option<String>,
}

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LsArgs {
    /// A file or directory of the synced folder [default: this directory, or the synced folder itself].
    pub path: Option<PathBuf>,
    /// With size and time of the last change.
    #[arg(long, short)]
    pub long: bool,
    /// Also names that begin with a dot.
    #[arg(long, short)]
    pub all: bool,
    /// Directories below, too.
    #[arg(long, short = 'R')]
    pub recursive: bool,
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  skep restore report.odt --version 412        as `skep history report.odt` numbers them
  skep restore report.odt --at \"yesterday 18:00\"
  skep restore report.odt                      it was deleted: the last version comes back
  skep restore --trash report.odt              another report.odt is there by now: the deleted one comes back beside it

Exit codes: 0 done, 2 say which version, 3 server not reachable, 4 nothing to restore.";

const GET_EXAMPLES: &str = "\
Examples:
  skep get report.odt --version 412 -o old.odt
  skep get notes.txt --at 2h -o - | diff - notes.txt

Exit codes: 0 done, 3 server not reachable, 4 no such version, 9 OUT is there already.";

const REWIND_EXAMPLES: &str = "\
Examples:
  skep rewind Project --at \"yesterday 18:00\" --dry-run    what would change
  skep rewind Project --at 2026-11-18T12:00

Exit codes: 0 done, 3 server not reachable, 4 no such directory, or so old a time is not kept, 8 not all could be done.";

/// Of which file to tell the versions.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HistoryArgs {
    /// Where it is or was: in the synced folder, or `skep:/Path` from the folder down.
    pub path: PathBuf,
    /// So many versions at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub lines: usize,
}

/// Which version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WhichVersion {
    /// The one of this number, as `skep history` shows it.
    #[arg(long, value_name = "N", value_parser = parse_version, conflicts_with = "at")]
    pub version: Option<WhichNumber>,
    /// The one that was there at this time: `18:00`, `"yesterday 18:00"`, `2026-11-18T12:00`, `2h`.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// A number of `skep history`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichNumber {
    /// `412`: a version on the server.
    Version(u64),
    /// `safe1`: one in the safe of this computer.
    Safe(usize),
}

/// What to bring back.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RestoreArgs {
    /// Where it is or was: in the synced folder, or `skep:/Path` from the folder down.
    pub path: PathBuf,
    /// Of several.
    #[command(flatten)]
    pub which: WhichVersion,
    /// What was deleted, although something of that name is there.
    #[arg(long, conflicts_with_all = ["version", "at"])]
    pub trash: bool,
}

/// What to get.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct GetArgs {
    /// Where it is or was: in the synced folder, or `skep:/Path` from the folder down.
    pub path: PathBuf,
    /// Of several; without: the present one.
    #[command(flatten)]
    pub which: WhichVersion,
    /// To where; `-` is standard output.
    #[arg(long, short, value_name = "OUT")]
    pub output: PathBuf,
}

/// What of the trash to list.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct TrashLsArgs {
    /// Only what has this in its name; beneath deleted directories too.
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// So many at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub lines: usize,
    /// The safe of this computer instead: files that had to give way here (`.skep/trash`).
    #[arg(long, conflicts_with = "search")]
    pub safe: bool,
}

/// What to do with the trash.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum TrashCommand {
    /// List what was deleted, the last first.
    Ls(TrashLsArgs),
    /// Bring deleted files and directories back; the same as `skep restore --trash`.
    Restore {
        /// Where they were, as `skep trash ls` shows it.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
}

/// What to set back.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RewindArgs {
    /// Which directory of the synced folder; the folder itself is one.
    pub path: PathBuf,
    /// To how it was at this time: `18:00`, `"yesterday 18:00"`, `2026-11-18T12:00`, `2h`.
    #[arg(long, value_name = "TIME")]
    pub at: String,
    /// Only say what would change.
    #[arg(long)]
    pub dry_run: bool,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  skep completions bash > ~/.local/share/bash-completion/completions/skep
  skep completions zsh > ~/.zfunc/_skep          with ~/.zfunc in $fpath
  skep completions fish > ~/.config/fish/completions/skep.fish";

const IGNORE_EXAMPLES: &str = "\
Examples:
  skep ignore                            what is ignored in the folder
  skep ignore check build/main.o         by which rule: file, line, pattern
  skep ignore add 'node_modules/'        adds a line to .skepignore at the top of the folder

Exit codes: 0 done, or ignored (check); 2 mistyped, 3 background service off, 4 not ignored (check).";

/// What to do about ignored files.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum IgnoreCommand {
    /// What is ignored; a directory stands for all that is in it.
    List,
    /// Add a rule to `.skepignore` at the top of the folder.
    Add {
        /// As a line of a .gitignore: `*.o`, `build/`, `/private`, `!keep.o`.
        pattern: String,
    },
    /// Whether this file or directory is ignored, and by which rule.
    Check {
        /// It need not exist; with a `/` at its end, it counts as a directory then.
        path: PathBuf,
    },
}

const LIMIT_EXAMPLES: &str = "\
Examples:
  skep limit --up 2MB --down off     2 MB a second to the server, from it as fast as it goes
  skep limit                         what holds now";

/// How fast bytes may go.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LimitArgs {
    /// To the server, in bytes a second: 500kB, 2MB, off.
    #[arg(long, value_name = "RATE")]
    pub up: Option<Rate>,
    /// From the server.
    #[arg(long, value_name = "RATE")]
    pub down: Option<Rate>,
}

const HOLDS_EXAMPLES: &str = "\
Examples:
  skep holds                         how many, where, since when, and how it was found
  skep holds bring-back              all files come back to this computer, from the server
  skep holds approve Archive --yes   what was in Archive is deleted everywhere (it can be restored from the trash)

Exit codes: 0 done, 2 mistyped, 3 background service off, 4 nothing is held, 9 the hold has changed: nothing was done.";

/// What to do about held deletions.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum HoldsCommand {
    /// List them.
    Ls,
    /// The same, with every directory.
    Show,
    /// They are meant: delete them on the server and everywhere.
    Approve(HeldArgs),
    /// They are a mistake: bring the files back to this computer.
    BringBack(HeldArgs),
}

/// Which held deletions.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HeldArgs {
    /// Only what was at or beneath this path [default: all].
    pub path: Option<PathBuf>,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

const PAUSE_EXAMPLES: &str = "\
Examples:
  skep pause                     until `skep resume`
  skep pause --for 2h
  skep pause --until 18:00       the next time that clocks here show it";

/// What to tell of what happened.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LogArgs {
    /// Go on with what happens, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// So many lines at most.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub lines: usize,
    /// Only what concerns this file or directory.
    #[arg(long, value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// How long to pause.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct PauseArgs {
    /// So long: 30m, 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time, conflicts_with = "until")]
    pub for_time: Option<Duration>,
    /// Until clocks here show this: 18:00.
    #[arg(long, value_name = "HH:MM", value_parser = parse_clock)]
    pub until: Option<jiff::civil::Time>,
}

const CONFLICTS_EXAMPLES: &str = "\
Examples:
  skep conflicts                                          all of them
  skep conflicts show 1                                   the first one
  skep conflicts resolve Budget.xlsx --keep mine          yours gets the name, theirs goes to .skep/trash
  skep conflicts resolve --all --keep newest --dry-run    what would be done

Exit codes: 0 done, 2 mistyped, 3 background service off, 4 no such conflict, 8 partly done, 9 nothing was changed.";

/// What to do about files with two versions.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ConflictsCommand {
    /// List them.
    Ls,
    /// Both versions of one file.
    Show {
        /// Either of the two files, or the number in the list.
        path: PathBuf,
    },
    /// Keep one version, or both. What is not kept goes to the safe, `.skep/trash` in the folder, for 30 days.
    Resolve {
        /// Either of the two files, or the number in the list.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        path: Option<PathBuf>,
        /// Which version gets the name.
        #[arg(long, value_enum, value_name = "WHICH")]
        keep: KeepWhich,
        /// All files with two versions.
        #[arg(long)]
        all: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which version is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeepWhich {
    /// The one that was made on this computer.
    Mine,
    /// The one that was made elsewhere.
    Theirs,
    /// Both; the copy gets a name of its own.
    Both,
    /// The one that was changed last.
    Newest,
}

const JOIN_EXAMPLES: &str = "\
Examples:
  skep join 7Q4K-92MD                        a code from `skep devices add`, in the same network
  skep join attic.example.org 7Q4K-92MD      the same from anywhere
  skep join attic.example.org --user maya    by name and password
  skep join attic.example.org                shows a code, to be typed on a computer that is signed in

Exit codes: 0 done, 2 mistyped, 3 no server found or reachable, 6 the code or the password does not count,
or somebody said no, 9 refused by a guard (connected already, other server key, folder of another account): nothing was changed,
10 nobody has answered the code.";

/// How to join.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// A code, found in this network; or the server: `https://HOST[:PORT]` or `HOST[:PORT]`; or a link with both.
    #[arg(value_name = "SERVER|CODE|LINK")]
    pub to: String,
    /// A code, if the server comes first; `-` reads it from standard input, where no other user sees it.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// Login name: to sign in with, or that of the account which the code makes, or of the only one that may let this computer in.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Read the password from standard input, up to the first line's end.
    #[arg(long)]
    pub password_stdin: bool,
    /// Show a code here, which is typed where somebody is signed in: for machines at which nothing can be typed. The same as a server
    /// alone.
    #[arg(long, conflicts_with_all = ["code", "password_stdin"])]
    pub device_code: bool,
    /// The server key's fingerprint, as `skep-server fingerprint` prints it.
    #[arg(long, value_name = "FP")]
    pub fingerprint: Option<Fingerprint>,
    /// The folder to sync [default: ~/Skep].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What to call this computer [default: its host name].
    #[arg(long, value_name = "DEVICE")]
    pub name: Option<String>,
    /// Do not start the background service.
    #[arg(long)]
    pub no_daemon: bool,
}

const CONNECT_EXAMPLES: &str = "\
Examples:
  skep connect 192.168.1.20 7537 ~/Skep                                    a new account; prints its id
  skep connect 192.168.1.20 7537 ~/Skep 7Q4K-92MD-….                       another computer of that account
  skep --home ~/.skep-work connect 192.168.1.20 7537 ~/Work 30             a second account, asked every 30 s without push

Exit codes: 0 stopped when told to, 2 mistyped, 3 server not reachable, 6 unknown id or server not open,
9 refused by a guard (changed server key, folder of another account): nothing was changed.";

/// How to connect in the classic form.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// The server: its name or address.
    #[arg(value_name = "SERVER")]
    pub server: String,
    /// Its port.
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// The folder to sync; made if it is not there.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// How often the server is asked for changes where it cannot push them, in seconds [default: 30].
    #[arg(value_name = "POLL_SECONDS")]
    pub poll_seconds: Option<String>,
    /// The account's id, also without POLL_SECONDS before it; `-` reads it from standard input, where no other user sees it.
    #[arg(value_name = "ACCOUNT_ID")]
    pub account_id: Option<String>,
    /// Trust only the server with this key, as `skep-server fingerprint` prints it.
    #[arg(long, value_name = "FP")]
    pub fingerprint: Option<Fingerprint>,
    /// What to call this computer [default: its host name].
    #[arg(long, value_name = "DEVICE")]
    pub name: Option<String>,
}

/// What to do with the account id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum AccountIdCommand {
    /// Make another one and print it; the old one lets no computer in any more. Computers that are connected stay so.
    Replace,
}

/// What to do with the computers of the account.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum DevicesCommand {
    /// List them.
    Ls,
    /// Print a code by which another computer joins: `skep join CODE` there. It counts once, for 15 minutes.
    Add {
        /// Also as a QR code, where that is not shown anyway.
        #[arg(long)]
        qr: bool,
    },
    /// Let in a computer that shows a code: `skep join SERVER` was typed there, without a code. Says who it is, and asks.
    Approve(AnswerArgs),
    /// Send it away.
    Deny {
        /// The code that it shows; `-` reads it from standard input.
        code: String,
    },
    /// Sign another computer out at once. Its files stay where they are.
    Revoke {
        /// Its name or id.
        device: String,
    },
}

/// Which computer to let in.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AnswerArgs {
    /// The code that it shows; `-` reads it from standard input.
    pub code: String,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

const SELECTION_EXAMPLES: &str = "\
Examples:
  skep sync rm ~/Skep/Media/old --experimental --dry-run   what would go from this computer
  skep sync rm ~/Skep/Media/old --experimental
  skep sync ls                                             what is not on this computer
  skep sync add ~/Skep/Media/old                           brings it back

Exit codes: 0 done, 3 background service off, 4 no such directory, 9 refused (already so, or no room): nothing was changed.";

/// What to do about syncing.
#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// Which folders of the server are not on this computer.
    Ls,
    /// Sync a folder of the server to this computer again.
    #[command(after_help = SELECTION_EXAMPLES)]
    Add {
        /// A directory in the synced folder, as it was called there.
        path: PathBuf,
        /// Only say what would come, and how much is free.
        #[arg(long)]
        dry_run: bool,
    },
    /// Do not sync a folder to this computer any more: it goes from here, and stays on the server and on the other computers.
    ///
    /// Only files that are equal to the server's go. Changes that are not on the server yet stay until they are sent; what is new there
    /// later stays, and is told.
    #[command(after_help = SELECTION_EXAMPLES)]
    Rm {
        /// A directory in the synced folder.
        path: PathBuf,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
        /// Needed, because this is new: simulated worlds in which power fails while folders are selected still end wrongly now and then.
        #[arg(long, required = true)]
        experimental: bool,
    },
    /// Let held deletions through; the same as `skep holds approve`.
    Apply(HeldArgs),
    /// Wait until this computer and the server are equal.
    Wait {
        /// Give up after this long: 500ms, 60s, 10m, 2h.
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
        timeout: Duration,
    },
}

/// What to do with the background service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum DaemonCommand {
    /// Run in the foreground.
    Run,
    /// Start in the background.
    Start,
    /// Stop it.
    Stop,
    /// Stop it if it runs, and start it.
    Restart,
    /// Start it at every log-in, and now: as a systemd user service.
    ///
    /// Writes ~/.config/systemd/user/skep.service. Where systemd does not run, the unit is printed instead.
    Install {
        /// Only print the unit.
        #[arg(long)]
        print: bool,
    },
    /// Undo install, and stop it.
    Uninstall,
    /// Whether it runs.
    Status,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// A command.
    Command(Box<ClientArgs>),
    /// A text for standard output: help or version.
    Text(String),
}

/// Understands a command line (with the program's name in front).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Asked, Complaint> {
    let matches = overview::command().try_get_matches_from(args);
    match matches.and_then(|matches| ClientArgs::from_arg_matches(&matches)) {
        Ok(args) => Ok(Asked::Command(Box::new(args))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Asked::Text(error.to_string())),
            _ => Err(complaint(&error)),
        },
    }
}

/// Whether a command line asks for JSON, also one that nobody understands.
pub fn wants_json(args: impl IntoIterator<Item = OsString>) -> bool {
    args.into_iter().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

/// `text` with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

fn complaint(error: &clap::Error) -> Complaint {
    use clap::error::{ContextKind, ContextValue};
    let usage = |what: String| Complaint::new(Exit::Usage, "E-USAGE", what);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return usage("What should be done?".into()).hint(error.to_string().trim_end());
    }
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    {
        let command = ClientArgs::command();
        let groups = command.get_subcommands().flat_map(clap::Command::get_subcommands);
        let verbs: Vec<&str> = command.get_subcommands().chain(groups).map(clap::Command::get_name).collect();
        let meant = nearest(word, verbs.iter().copied()).map(|verb| format!(" Did you mean: {verb}?"));
        return usage(format!("Unknown command \"{word}\".{}", meant.unwrap_or_default())).hint("See: skep --help");
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

/// The whole command line, from which the manual page is made.
pub fn command_line() -> clap::Command {
    ClientArgs::command()
}

/// The completions of all commands for a shell.
pub fn completions(shell: clap_complete::Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut ClientArgs::command(), product::NAME, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it as 500ms, 60s, 10m or 2h");
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

fn parse_version(text: &str) -> Result<WhichNumber, String> {
    let wrong = || format!("`{text}` is no version; write its number as `skep history` shows it, such as 412 or safe1");
    match text.strip_prefix("safe") {
        Some(number) => number.parse().ok().filter(|number| *number > 0).map(WhichNumber::Safe).ok_or_else(wrong),
        None => text.parse().map(WhichNumber::Version).map_err(|_| wrong()),
    }
}

fn parse_clock(text: &str) -> Result<jiff::civil::Time, String> {
    let wrong = || format!("`{text}` is no time of day; write it as 18:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let (hour, minute) = (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    jiff::civil::Time::new(hour, minute, 0, 0).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<ClientArgs, Complaint> {
        match parse(line.split_whitespace().map(OsString::from))? {
            Asked::Command(args) => Ok(*args),
            Asked::Text(text) => panic!("{text}"),
        }
    }

    #[test]
    fn the_contract_for_automation_parses() {
        let fingerprint = Fingerprint([7; 32]);
        let line = format!(
            "skep --home H join https://127.0.0.1:1 --user maya --password-stdin --fingerprint {fingerprint} --dir D \
             --name thinkpad --no-daemon"
        );
        let args = parsed(&line).unwrap();
        assert_eq!(args.global.home, Some("H".into()));
        let Command::Join(join) = args.command else { panic!("join joins") };
        assert_eq!((join.fingerprint, join.no_daemon, join.password_stdin), (Some(fingerprint), true, true));
        for line in [
            "skep --home H daemon run",
            "skep --home H status --json --check",
            "skep status a/b.txt --home H",
            "skep --home H sync wait --timeout 60s",
            "skep join 7Q4K-92MD",
            "skep --home H join attic:7537 7Q4K-92MD --user maya --password-stdin --dir D --no-daemon",
            "skep join attic -",
            "skep devices",
            "skep devices add --json",
            "skep devices revoke laptop",
            "skep profile --name maya",
            "skep passwd --password-stdin",
            "skep logout",
            "skep whoami --json",
            "skep --home H connect 127.0.0.1 7537 DIR",
            "skep --home H connect 127.0.0.1 7537 DIR 30 7Q4K-92MD",
            "skep --home H connect 127.0.0.1 7537 DIR 30 -",
            "skep account-id replace",
            "skep version",
            "skep ls -laR Work",
            "skep conflicts",
            "skep pause --for 2h",
            "skep pause --until 18:00",
            "skep resume",
            "skep history a/b.txt",
            "skep history skep:/a/b.txt -n 5 --json",
            "skep restore a",
            "skep restore a --version 12",
            "skep restore a --version safe1",
            "skep restore a --at yesterday",
            "skep restore --trash a",
            "skep get a --version 3 -o OUT",
            "skep trash",
            "skep trash --search budget",
            "skep trash ls --search budget",
            "skep trash ls --safe",
            "skep trash restore a b",
            "skep rewind a --at 2h --dry-run",
            "skep doctor --json",
            "skep daemon restart",
            "skep daemon install --print",
            "skep daemon uninstall",
            "skep completions zsh",
            "skep log -f -n 5 --json --path a",
            "skep conflicts show 1",
            "skep conflicts resolve a --keep mine",
            "skep conflicts resolve --all --keep newest --dry-run",
        ] {
            parsed(line).unwrap();
        }
        let Command::Sync(SyncCommand::Wait { timeout }) = parsed("skep sync wait").unwrap().command else {
            panic!("sync wait waits")
        };
        assert_eq!(timeout, Duration::from_secs(60));
    }

    #[test]
    fn slips_are_explained() {
        let first_line = |line: &str| parsed(line).unwrap_err().to_string().lines().next().unwrap().to_owned();
        assert_eq!(first_line("skep stauts"), "Unknown command \"stauts\". Did you mean: status?   E-USAGE");
        assert_eq!(first_line("skep frobnicate"), "Unknown command \"frobnicate\".   E-USAGE");
        for line in [
            "skep",
            "skep join",
            "skep sync wait --timeout 5",
            "skep join x --user m --fingerprint 12",
            "skep connect attic DIR",
            "skep restore a --version x",
            "skep restore a --version safe0",
            "skep restore a --version 1 --at 2h",
            "skep get a --version 1",
            "skep rewind a",
        ] {
            assert_eq!(parsed(line).unwrap_err().exit, Exit::Usage, "{line}");
        }
    }

    #[test]
    fn times_are_numbers_with_a_unit() {
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_time("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "60", "s", "1d", "-1s", "99999999999999999999h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
