//! Checked equality, as scripts get it and as people read it.

use jiff::Zoned;
use serde::{Deserialize, Serialize};
use skep_client::{Checked, Compared, Difference, Whose};
use skep_platform::talk::{Complaint, Exit, utc_text};

use crate::clock;
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection};
use crate::home::Home;
use crate::names::printable;
use crate::status::counted;

/// So long a difference that was put right is still told of.
const TOLD_SECONDS: i64 = 7 * 24 * 3600;

/// Whether both sides were found to be equal, in a status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EqualityAnswer {
    /// When this folder and the server were last compared and found to be equal; null: not yet.
    #[serde(default)]
    pub verified_at: Option<String>,
    /// How much has changed since then, on either side; null: not known.
    #[serde(default)]
    pub changes_since_verified: Option<u64>,
    /// Files and directories that were compared.
    #[serde(default)]
    pub verified_entries: u64,
    /// Of these, how many are not on this computer by rule or by choice.
    #[serde(default)]
    pub verified_left_out: u64,
    /// What was last found to differ; null: nothing ever.
    #[serde(default)]
    pub last_difference: Option<DifferenceAnswer>,
}

/// What was found to differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceAnswer {
    /// When it was found.
    pub found_at: String,
    /// Where the fault lay: `device`, `server`, or `count` (this device's sums alone).
    pub fault: String,
    /// Both sides were found to be equal since.
    pub mended: bool,
    /// In how many files and directories, as far as it was looked for.
    pub entries: u64,
    /// The first of them.
    pub first: Vec<DifferingAnswer>,
}

/// One file or directory in which the two sides differed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingAnswer {
    /// Relative to the folder.
    pub path: String,
    /// In what.
    pub how: String,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "compared", rename_all = "snake_case")]
pub enum ComparedAnswer {
    /// Both sides are equal.
    Equal {
        /// Files and directories that were compared.
        entries: u64,
        /// Of these, how many are not on this computer by rule or by choice.
        left_out: u64,
        /// How many differ and are listed as problems.
        problems: u64,
    },
    /// They were not.
    Differs {
        /// In what.
        difference: DifferenceAnswer,
    },
    /// It could not be told.
    Unknown {
        /// Why.
        why: String,
    },
}

impl EqualityAnswer {
    /// What a running client says.
    pub fn of(checked: &Checked, changes_since: Option<u64>) -> EqualityAnswer {
        let verified = checked.verified;
        EqualityAnswer {
            verified_at: verified.map(|verified| utc_text(verified.at)),
            changes_since_verified: changes_since.filter(|_| verified.is_some()),
            verified_entries: verified.map_or(0, |verified| verified.nodes),
            verified_left_out: verified.map_or(0, |verified| verified.left_out),
            last_difference: checked.difference.as_ref().map(DifferenceAnswer::from),
        }
    }

    /// Lines for people.
    pub fn lines(&self, now: &Zoned) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(at) = self.verified_at.as_deref().and_then(clock::parse_utc) {
            let since = match self.changes_since_verified {
                Some(0) => String::new(),
                Some(changes) => format!("; {} since", counted(changes, "change")),
                None => "; what has changed since is not known yet".into(),
            };
            lines.push(format!("verified equal to the server {}{since}", clock::since_text(at, now)));
        }
        if let Some(difference) = self.last_difference.as_ref().filter(|difference| difference.mended)
            && let Some(at) = clock::parse_utc(&difference.found_at)
            && clock::timestamp(now).seconds.saturating_sub(at.seconds) < TOLD_SECONDS
        {
            let count = counted(difference.entries, "difference");
            lines.push(format!("{count} from the server found {}, and put right   skep log", clock::text(at, now)));
        }
        lines
    }
}

impl From<&Difference> for DifferenceAnswer {
    fn from(difference: &Difference) -> DifferenceAnswer {
        let fault = match difference.whose {
            Whose::Ours => "device",
            Whose::Servers => "server",
            Whose::Count => "count",
        };
        let first = difference.told.iter().map(|one| DifferingAnswer { path: one.path.clone(), how: one.how.clone() });
        DifferenceAnswer {
            found_at: utc_text(difference.at),
            fault: fault.into(),
            mended: difference.is_mended,
            entries: difference.nodes,
            first: first.collect(),
        }
    }
}

impl From<Compared> for ComparedAnswer {
    fn from(compared: Compared) -> ComparedAnswer {
        match compared {
            Compared::Equal(verified) => {
                ComparedAnswer::Equal { entries: verified.nodes, left_out: verified.left_out, problems: verified.told }
            }
            Compared::Differs(difference) => {
                ComparedAnswer::Differs { difference: DifferenceAnswer::from(&difference) }
            }
            Compared::Unknown(why) => ComparedAnswer::Unknown { why },
        }
    }
}

/// For `skep doctor`: compares what this computer and the server hold, now.
pub async fn check(home: &Home) -> Result<String, Complaint> {
    let mut daemon = DaemonConnection::open(home).await.ok_or_else(crate::commands::daemon_off)?;
    let compared = match daemon.ask(&ControlRequest::Compare).await? {
        ControlAnswer::Compared { result, .. } => result,
        other => return Err(crate::commands::strange(&other)),
    };
    match compared {
        ComparedAnswer::Equal { entries, left_out, problems } => {
            let apart =
                |count: u64, what: &str| if count > 0 { format!(", {count} of them {what}") } else { String::new() };
            let left_out = apart(left_out, "not on this computer");
            let problems = apart(problems, "with a problem");
            Ok(format!("{} are equal here and on the server{left_out}{problems}", entries_text(entries)))
        }
        ComparedAnswer::Differs { difference } => Err(complaint(&difference)),
        ComparedAnswer::Unknown { why } => {
            Err(Complaint::new(Exit::Partly, "E-NOT-COMPARED", format!("Folder and server were not compared. {why}"))
                .hint("Nothing is wrong by that. Wait for   skep sync wait   and ask again"))
        }
    }
}

fn complaint(difference: &DifferenceAnswer) -> Complaint {
    if difference.fault == "server" {
        let what = "The server's list of files is not what it counted as they changed: its database has a fault.";
        return Complaint::new(Exit::Partly, "E-UNEQUAL", what)
            .hint("Nothing was taken from it. On the server, run:   skep-server fsck");
    }
    if difference.fault == "count" {
        let what = "This device's sums were not those of its rows, which are right. They were counted anew.";
        return Complaint::new(Exit::Partly, "E-UNEQUAL", what).hint("Ask again to see that all is equal");
    }
    let mut what =
        format!("This device's state was not what the server says, in {}:", entries_text(difference.entries));
    for one in &difference.first {
        what.push_str(&format!("\n                    `{}`: {}", printable(&one.path), one.how));
    }
    Complaint::new(Exit::Partly, "E-UNEQUAL", what).hint(
        "It is being put right; ask again to see that it was. Nothing is deleted: what has to give way goes to `.skep/trash`",
    )
}

/// `1,204 files or folders`.
fn entries_text(entries: u64) -> String {
    let files = counted(entries, "file");
    format!("{files} or folder{}", if entries == 1 { "" } else { "s" })
}
