//! Every size, count, time-out and threshold, as one value.

/// The bounds that the program keeps. [`Limits::SHIPPED`] is part of the format documents; the simulator draws tiny ones,
/// or no simulated file would ever have two chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// No chunk but the last of a file is smaller. Cut points depend on it.
    pub chunk_bytes_min: usize,
    /// The mean that the chunker aims for. A power of two.
    pub chunk_bytes_average: usize,
    /// No chunk is larger.
    pub chunk_bytes_max: usize,
    /// Most plain bytes in a block; at least `chunk_bytes_max`.
    pub block_bytes_max: usize,
    /// Most chunks in a block.
    pub block_chunks_max: usize,
    /// A pack is closed when it is this long.
    pub pack_bytes_target: u64,
    /// Most operations in a commit.
    pub commit_operations_max: usize,
    /// Most bytes of encoded operations in a commit.
    pub commit_bytes_max: usize,
    /// Most content bytes that travel within one commit; more are uploaded before.
    pub bundle_bytes_max: usize,
    /// Most files whose content is fetched and applied as one bundle.
    pub bundle_files_max: usize,
    /// A file of at most this size travels inside the push.
    pub inline_bytes_max: usize,
    /// Most entries in a page of the feed (a commit is never split, so a page may be one commit longer).
    pub feed_entries_max: usize,
    /// Rows in a page of a snapshot.
    pub snapshot_rows_max: usize,
    /// Chunk ids in one question "which do you lack?" and in one download.
    pub chunk_query_max: usize,
    /// Chunk ids in one manifest; longer lists are lists of segments (reserved).
    pub manifest_chunks_max: usize,
    /// Longest frame payload of any kind.
    pub frame_bytes_max: usize,
    /// Frames that wait for one slow connection before it is told that it is behind.
    pub push_queue_max: usize,
    /// An uploaded chunk that no commit uses is kept this long.
    pub lease_ms: u64,
    /// Heartbeats on a quiet push connection, both ways.
    pub heartbeat_ms: u64,
    /// A connection without any sign of life for so long is dead.
    pub dead_peer_ms: u64,
    /// First wait before a failed call is made again; doubles up to `retry_max_ms`.
    pub retry_first_ms: u64,
    /// Longest wait before a failed call is made again.
    pub retry_max_ms: u64,
    /// The same for a call that failed at once, as where nothing listens: it costs next to nothing, and somebody waits for the server.
    pub retry_quick_max_ms: u64,
    /// Without push, how often the server is asked.
    pub poll_ms: u64,
    /// Deletions in one subtree are collected until it was quiet for so long,
    pub delete_quiet_ms: u64,
    /// but not longer than this.
    pub delete_wait_max_ms: u64,
    /// A file that vanished from its name is believed to have moved only after its name was free for so long: programs that save
    /// by renaming put a new file there at once.
    pub move_quiet_ms: u64,
    /// An observation younger than this is taken again later: a second change may hide in the same clock tick.
    pub racy_ms: u64,
    /// What a watcher hints at may have happened so long ago.
    pub hint_late_ms: u64,
    /// A file that keeps changing while it is read is tried again after this,
    pub busy_retry_ms: u64,
    /// and becomes the problem "still being written" after so many tries.
    pub busy_tries_max: u32,
    /// A file that a program has open and writes is sent when it is closed, or when nothing was written for so long,
    pub writing_quiet_ms: u64,
    /// or, though it is written to all the time, after so long.
    pub writing_wait_max_ms: u64,
    /// The folder is scanned in the background this often, as a safety net under the watcher.
    pub scan_every_ms: u64,
    /// Deletions that nobody saw wait for a person if they are more files than this,
    pub hold_files: u64,
    /// and a larger part of the folder's files than this, in percent.
    pub hold_percent: u64,
    /// Every file is read again and compared within this time; 0: never.
    pub audit_every_ms: u64,
    /// An audit reads at most so many bytes a second.
    pub audit_bytes_per_s: u64,
    /// Sums are compared with the server's when everything has settled, but not sooner than this after the last time,
    pub compare_after_ms: u64,
    /// and at rest this often.
    pub compare_every_ms: u64,
    /// Every row on both sides is counted for that this often.
    pub count_every_ms: u64,
    /// Whether the folder is in its place is looked at this often; if it is not, it is opened anew as soon as it is back.
    pub root_check_ms: u64,
    /// Deepest directory.
    pub depth_max: usize,
    /// Longest symlink target, in bytes.
    pub symlink_bytes_max: usize,
    /// Displaced files stay in the safe at least so long.
    pub safe_keep_ms: u64,
    /// Left free on the server's disk: content that would take it is refused, so that everything else goes on.
    pub reserve_bytes: u64,
}

impl Limits {
    /// The limits of every released program.
    pub const SHIPPED: Limits = Limits {
        chunk_bytes_min: 128 << 10,
        chunk_bytes_average: 256 << 10,
        chunk_bytes_max: 1 << 20,
        block_bytes_max: 1 << 20,
        block_chunks_max: 256,
        pack_bytes_target: 64 << 20,
        commit_operations_max: 4096,
        commit_bytes_max: 4 << 20,
        bundle_bytes_max: 8 << 20,
        bundle_files_max: 2048,
        inline_bytes_max: 64 << 10,
        feed_entries_max: 4096,
        snapshot_rows_max: 4096,
        chunk_query_max: 4096,
        manifest_chunks_max: 1 << 20,
        frame_bytes_max: 48 << 20,
        push_queue_max: 64,
        lease_ms: 24 * 3_600_000,
        heartbeat_ms: 15_000,
        dead_peer_ms: 40_000,
        retry_first_ms: 250,
        retry_max_ms: 30_000,
        retry_quick_max_ms: 4_000,
        poll_ms: 30_000,
        delete_quiet_ms: 100,
        delete_wait_max_ms: 2_000,
        move_quiet_ms: 40,
        racy_ms: 20,
        hint_late_ms: 2_000,
        busy_retry_ms: 300,
        busy_tries_max: 20,
        writing_quiet_ms: 5_000,
        writing_wait_max_ms: 60_000,
        scan_every_ms: 600_000,
        hold_files: 25,
        hold_percent: 20,
        audit_every_ms: 30 * 24 * 3_600_000,
        audit_bytes_per_s: 16 << 20,
        compare_after_ms: 10_000,
        compare_every_ms: 600_000,
        count_every_ms: 24 * 3_600_000,
        root_check_ms: 5_000,
        depth_max: 512,
        symlink_bytes_max: 4095,
        safe_keep_ms: 7 * 24 * 3_600_000,
        reserve_bytes: 256 << 20,
    };
}
