//! What programs write: contents of which each is told from all others, some that are equal, some empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Random;

/// Makes contents; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    made: Arc<AtomicU64>,
}

impl Contents {
    /// A content of at most about `bytes_max` bytes.
    pub fn next(&self, random: &mut Random, bytes_max: u64) -> Vec<u8> {
        match random.range(0..=19) {
            0 => return Vec::new(),
            1 => return format!("same{} ", random.range(0..=2)).repeat(8).into_bytes(),
            _ => {}
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut bytes = format!("[{number}] ").into_bytes();
        let longest = *random.pick(&[8, bytes_max / 8, bytes_max]);
        let len = random.range(0..=longest.max(1)) as usize;
        let head = bytes.len();
        if random.coin() {
            bytes.resize(head + len, 0);
            random.fill(&mut bytes[head..]);
        } else {
            bytes.extend(b"all work and no play ".iter().cycle().take(len));
        }
        bytes
    }
}
