//! Where a folder may not lie: in or around what is Skep's own, and where a system keeps what are no files.

use std::env;
use std::path::{Path, PathBuf};

use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit};
use skep_types::{OwnDir, product};

use crate::home::Home;

/// So many entries beneath a new folder are looked at; deeper down, what is not to be synced is passed over when it is met.
const ENTRIES_MAX: usize = 20_000;
/// Nothing beneath these is a file that somebody saved.
#[cfg(unix)]
const SYSTEM_TREES: [&str; 2] = ["/proc", "/sys"];
/// Nor these themselves, though there may be files beneath them.
#[cfg(unix)]
const SYSTEM_DIRS: [&str; 3] = ["/", "/dev", "/run"];

/// Refuses a new folder that may not lie there. `local` has no links in it.
pub fn check_new(home: &Home, local: &Path) -> Result<(), Complaint> {
    check(home, local)?;
    match own_files::own_dir_beneath(local, ENTRIES_MAX) {
        Some((found, kind)) => Err(around(local, &found, kind)),
        None => Ok(()),
    }
}

/// Refuses a folder that may not lie there, as far as that is cheap to see: it may have come to lie there since it was joined.
pub fn check(home: &Home, local: &Path) -> Result<(), Complaint> {
    if is_of_the_system(local) {
        let what = format!("`{}` belongs to the system: it cannot be a synced folder.", local.display());
        return Err(Complaint::new(Exit::Guard, "E-SYSTEM-DIR", what)
            .hint("Nothing was changed. Name a directory of your own, such as ~/Skep"));
    }
    let own_home = own_files::absolute_of_new(home.dir()).unwrap_or_else(|_| home.dir().to_owned());
    if own_home.starts_with(local) || local.starts_with(&own_home) {
        let (shown, home) = (local.display(), own_home.display());
        let relation = if own_home.starts_with(local) { "would hold" } else { "lies in" };
        let what = format!("The folder `{shown}` {relation} this client's own settings and state in `{home}`.");
        return Err(Complaint::new(Exit::Guard, OwnDir::ClientHome.code(), what).hint(
            "Nothing was changed. Choose another folder, or give the client a home elsewhere:   skep --home DIR join …",
        ));
    }
    for above in local.ancestors().skip(1) {
        if let Some(kind) = own_files::own_dir(above) {
            return Err(inside(local, above, kind));
        }
    }
    if let Some(kind) = own_files::own_dir(local).filter(|kind| *kind != OwnDir::Folder) {
        return Err(inside(local, local, kind));
    }
    match usual_data_dirs().into_iter().find(|data| data.starts_with(local) && own_files::own_dir(data).is_some()) {
        Some(data) => Err(around(local, &data, OwnDir::ServerData)),
        None => Ok(()),
    }
}

fn inside(local: &Path, above: &Path, kind: OwnDir) -> Complaint {
    let (shown, outer) = (local.display(), above.display());
    let what = format!("`{shown}` lies in `{outer}`, which is {}.", kind.words());
    let hint = match kind {
        OwnDir::Folder => format!(
            "Nothing was changed. Choose a folder outside of it. If that one is not synced any more, remove its marker \
             `{outer}/{}/root`",
            product::ROOT_DIR
        ),
        OwnDir::ServerData | OwnDir::ClientHome => "Nothing was changed. Choose a folder outside of it.".to_owned(),
    };
    Complaint::new(Exit::Guard, kind.code(), what).hint(hint)
}

fn around(local: &Path, inner: &Path, kind: OwnDir) -> Complaint {
    let (shown, inner) = (local.display(), inner.display());
    let what = format!("`{shown}` holds `{inner}`, which is {}.", kind.words());
    let hint = match kind {
        OwnDir::Folder => format!(
            "Nothing was changed. Choose a folder beside it. If that one is not synced any more, remove its marker \
             `{inner}/{}/root`",
            product::ROOT_DIR
        ),
        OwnDir::ServerData | OwnDir::ClientHome => {
            "Nothing was changed. Choose a folder beside it, or move that directory elsewhere.".to_owned()
        }
    };
    Complaint::new(Exit::Guard, kind.code(), what).hint(hint)
}

#[cfg(unix)]
fn is_of_the_system(local: &Path) -> bool {
    SYSTEM_DIRS.iter().any(|dir| local == Path::new(dir)) || SYSTEM_TREES.iter().any(|tree| local.starts_with(tree))
}

#[cfg(not(unix))]
fn is_of_the_system(local: &Path) -> bool {
    local.parent().is_none()
}

/// Where servers of this machine keep their data, if nobody named another place.
fn usual_data_dirs() -> Vec<PathBuf> {
    let of = |name, beneath: &str| {
        let dir = env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute())?;
        Some(dir.join(beneath).join(product::SERVER))
    };
    let dirs = if cfg!(windows) {
        vec![of("LOCALAPPDATA", "")]
    } else {
        vec![Some(Path::new("/var/lib").join(product::SERVER)), of("XDG_DATA_HOME", ""), of("HOME", ".local/share")]
    };
    dirs.into_iter().flatten().filter_map(|dir| own_files::absolute(&dir).ok()).collect()
}
