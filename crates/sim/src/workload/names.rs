//! Names that people give.

/// A choice of names: few, so that machines and actions meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Every disk holds them.
    Simple,
    /// Some differ only in case.
    Cases,
    /// Some differ only in their Unicode form.
    Forms,
    /// Some are refused by some disks, or are as long as names can be.
    Odd,
    /// All of these.
    All,
}

/// With what machines that stay apart put behind it, no name is too long.
const LONG: &str = concat!(
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
);

impl Names {
    /// Those of files.
    pub fn of_files(self) -> &'static [&'static str] {
        match self {
            Names::Simple => &["a", "b", "c.txt", "d.md"],
            Names::Cases => &["a", "A", "c.txt", "C.txt", "C.TXT"],
            Names::Forms => &["\u{e9}", "e\u{301}", "\u{e9}.txt", "E\u{301}.txt"],
            Names::Odd => &["a:b", "con", "x.", "x ", LONG, "a?.txt"],
            Names::All => &["a", "A", "\u{e9}", "e\u{301}", "\u{c9}", "a:b", "CON.txt", "con.txt", LONG],
        }
    }

    /// Those of directories.
    pub fn of_directories(self) -> &'static [&'static str] {
        match self {
            Names::Simple => &["x", "y", "z"],
            Names::Cases => &["x", "X", "y"],
            Names::Forms => &["\u{e5}", "a\u{30a}", "y"],
            Names::Odd => &["y:", "nul", "y"],
            Names::All => &["x", "X", "\u{e5}", "a\u{30a}", "y."],
        }
    }
}
