//! What is ignored unless a file says otherwise.

use super::IgnoreRules;

/// Only what a program or a system makes for itself and removes by itself, or makes anew: never what a person could regard as work.
/// So no `*.tmp`, `*.bak`, `*~` or `#*#`.
const BUILT_IN: &str = "\
# Locks and temporary files of office programs
~$*
.~lock.*#
~*.tmp
# Swap and lock files of editors
.*.sw[a-p]
.sw[a-p]
.*.kate-swp
.#*
.goutputstream-*
# Unfinished downloads
*.crdownload
# What systems put into folders
.DS_Store
.Spotlight-V100/
.Trashes/
.fseventsd/
.TemporaryItems/
Thumbs.db
ehthumbs.db
desktop.ini
$RECYCLE.BIN/
System Volume Information/
.Trash-[0-9]*/
.nfs[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]*
.fuse_hidden*
";

/// These rules.
pub(crate) fn built_in() -> IgnoreRules {
    IgnoreRules::parse(BUILT_IN.as_bytes())
}
