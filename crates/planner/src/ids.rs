//! Ids that the planner makes: drawn from a seed, or derived so that planning again gives the same ones.

use skep_types::{CommitId, DeviceId, NodeId, Version};

/// Draws ids from a seed that was unpredictable when the engine started.
#[derive(Debug)]
pub(crate) struct IdSource {
    seed: [u8; 32],
    drawn: u64,
}

impl IdSource {
    pub(crate) fn new(seed: [u8; 32]) -> IdSource {
        IdSource { seed, drawn: 0 }
    }

    pub(crate) fn node(&mut self) -> NodeId {
        NodeId::from_bytes(self.draw())
    }

    pub(crate) fn commit(&mut self, device: DeviceId) -> CommitId {
        CommitId::new(device, self.draw())
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        self.drawn += 1;
        let mut bytes = [0; N];
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&self.drawn.to_le_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        bytes
    }
}

/// The node that a device makes of its own version when `node` was changed on both sides. Planned again after a crash, it is the
/// same node, not a second copy. One device may meet one version of the server more than once, hence the number.
pub(crate) fn conflict_copy(node: NodeId, remote: Version, device: DeviceId, number: u64) -> NodeId {
    let parts: [&[u8]; 4] = [node.as_bytes(), &version_bytes(remote), device.as_bytes(), &number.to_le_bytes()];
    derive("skep 1 conflict copy", &parts)
}

/// The directory that takes what lived on under `dir` when it went to the trash with `trashed` (the place version of the node that was
/// trashed). Every device makes the same one.
pub(crate) fn recovered_directory(dir: NodeId, trashed: Version) -> NodeId {
    derive("skep 1 recovered directory", &[dir.as_bytes(), &version_bytes(trashed)])
}

/// The node that a directory becomes which went to the trash with `trashed`, stayed on this disk for what is ignored in it, and moved here.
pub(crate) fn moved_residue(dir: NodeId, trashed: Version, device: DeviceId) -> NodeId {
    derive("skep 1 moved residue", &[dir.as_bytes(), &version_bytes(trashed), device.as_bytes()])
}

fn version_bytes(version: Version) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&version.seq.0.to_le_bytes());
    bytes[8..].copy_from_slice(version.commit.as_bytes());
    bytes
}

fn derive(context: &str, parts: &[&[u8]]) -> NodeId {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut bytes = [0; NodeId::LEN];
    hasher.finalize_xof().fill(&mut bytes);
    NodeId::from_bytes(bytes)
}
