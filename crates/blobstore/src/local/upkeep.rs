//! Packs as wholes: which are finished, freeing them, moving damaged ones aside.

use skep_platform::{FileErrorKind, Files, RenameMode};
use skep_types::Name;

use super::{LocalPacks, file_error, pack_ids, pack_name};
use crate::{BlobError, PackId, PackStore};

/// The directory of packs that were moved aside, beneath the root.
const QUARANTINE_DIR: &str = "quarantine";
/// So many packs of one number can be moved aside; a number is given again only after all that was in it is forgotten.
const SAME_NUMBER_MAX: u32 = 100;

impl<F: Files> PackStore for LocalPacks<F> {
    fn finished_packs(&self) -> Result<Vec<(PackId, u64)>, BlobError> {
        // Listed first: a pack that is made meanwhile is not in the list, one that is finished meanwhile is left out.
        let ids = pack_ids(&self.files, &self.dir)?;
        let finished: Vec<PackId> = {
            let state = self.lock();
            ids.into_iter().filter(|pack| !state.ledger.is_under_way(*pack) && pack.0 < state.next.0).collect()
        };
        let mut packs = Vec::with_capacity(finished.len());
        for pack in finished {
            if let Some(stat) = self.files.stat(&self.dir, &pack_name(pack)).map_err(file_error)? {
                packs.push((pack, stat.size));
            }
        }
        Ok(packs)
    }

    fn count_on_from(&self, last: PackId) {
        let mut state = self.lock();
        state.next = PackId(state.next.0.max(last.0 + 1));
    }

    fn remove_pack(&self, pack: PackId) -> Result<(), BlobError> {
        self.require_finished(pack)?;
        match self.files.remove_file(&self.dir, &pack_name(pack)) {
            Err(error) if error.kind != FileErrorKind::NotFound => Err(file_error(error)),
            _ => self.files.make_durable(&[], std::slice::from_ref(&self.dir)).map_err(file_error),
        }
    }

    fn set_aside(&self, pack: PackId) -> Result<String, BlobError> {
        self.require_finished(pack)?;
        let root = self.files.root().map_err(file_error)?;
        let name = Name::try_from(QUARANTINE_DIR).expect("a plain word is a name");
        match self.files.make_dir(&root, &name) {
            Err(error) if error.kind != FileErrorKind::Exists => return Err(file_error(error)),
            _ => {}
        }
        let quarantine = self.files.open_dir(&root, &[name]).map_err(file_error)?;
        for number in 1..=SAME_NUMBER_MAX {
            let target = match number {
                1 => pack_name(pack),
                number => Name::new(format!("{:08}.{number}.pack", pack.0)).expect("digits and suffixes are a name"),
            };
            match self.files.rename(&self.dir, &pack_name(pack), &quarantine, &target, RenameMode::NoReplace) {
                Err(error) if error.kind == FileErrorKind::Exists => {}
                Err(error) => return Err(file_error(error)),
                Ok(()) => {
                    // The new entry first: a power cut may leave the pack in both places, never in none.
                    self.files.make_durable(&[], &[root, quarantine, self.dir.clone()]).map_err(file_error)?;
                    return Ok(format!("{QUARANTINE_DIR}/{}", target.display()));
                }
            }
        }
        Err(BlobError::Disk(format!("there are too many packs {} in `{QUARANTINE_DIR}`", pack.0)))
    }
}

impl<F: Files> LocalPacks<F> {
    fn require_finished(&self, pack: PackId) -> Result<(), BlobError> {
        if self.lock().ledger.is_under_way(pack) {
            return Err(BlobError::Disk(format!("pack {} is still being written", pack.0)));
        }
        Ok(())
    }
}
