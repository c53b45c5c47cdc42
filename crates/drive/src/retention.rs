//! How long the past is kept: which entries later ones make dispensable, when the trash is emptied.

use skep_types::{Entry, FieldGroups, Timestamp};

const DAY_MS: u64 = 24 * 3_600_000;
/// The clock of retention goes at most this far at a time.
const CLOCK_STEP_MAX_MS: u64 = 2 * DAY_MS;

/// For how long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Every version of everything.
    pub versions_ms: u64,
    /// What lies in the trash.
    pub trash_ms: u64,
    /// Lines of the connection log.
    pub connections_ms: u64,
    /// Bytes of a pack that no chunk lies in any more: longer than any download takes that began before.
    pub freed_after_ms: u64,
}

impl Retention {
    /// What every released program keeps.
    pub const SHIPPED: Retention = Retention {
        versions_ms: 180 * DAY_MS,
        trash_ms: 90 * DAY_MS,
        connections_ms: 90 * DAY_MS,
        freed_after_ms: DAY_MS,
    };

    /// Whether a version has outlived what is kept of the past for certain.
    pub fn is_old_version(&self, time: Timestamp, now: Timestamp) -> bool {
        is_older(time, self.versions_ms, now)
    }

    /// Whether what was trashed at that time may go for good.
    pub fn may_purge(&self, trashed: Timestamp, now: Timestamp) -> bool {
        is_older(trashed, self.trash_ms, now)
    }

    /// Whether a pack that was condemned at that time may be freed.
    pub fn may_free(&self, condemned: Timestamp, now: Timestamp) -> bool {
        is_older(condemned, self.freed_after_ms, now)
    }

    /// From before this time, lines of the connection log go.
    pub fn connections_since(&self, now: Timestamp) -> Timestamp {
        now.minus_milliseconds(self.connections_ms)
    }

    /// The field groups of `entry` that nobody can come back to any more, because `later`, an entry of the same node, has set them
    /// anew and is itself too old: at every moment that is still kept, `later` or what came after it was in force.
    pub fn superseded(&self, entry: &Entry, later: &Entry, now: Timestamp) -> FieldGroups {
        let is_past = entry.state.node == later.state.node
            && entry.seq < later.seq
            && self.is_old_version(entry.time, now)
            && self.is_old_version(later.time, now);
        FieldGroups {
            place: is_past && entry.changed.place && later.changed.place,
            content: is_past && entry.changed.content && later.changed.content,
            mode: is_past && entry.changed.mode && later.changed.mode,
        }
    }
}

/// The time by which retention is judged: the clock, but never far beyond where it was `last`, however the clock jumps. A server
/// whose clock is a century ahead must not throw the past away; one that was off for a year catches up, a step each day.
pub fn retention_clock(last: Option<Timestamp>, clock: Timestamp) -> Timestamp {
    last.map_or(clock, |last| clock.min(last.plus_milliseconds(CLOCK_STEP_MAX_MS)))
}

fn is_older(time: Timestamp, than_ms: u64, now: Timestamp) -> bool {
    time < now.minus_milliseconds(than_ms)
}

#[cfg(test)]
mod tests {
    use skep_types::{CommitId, Content, Mode, Name, NodeId, NodeState, Place, Seq, Version};

    use super::*;

    const KEEP: Retention = Retention { versions_ms: 1000, trash_ms: 500, connections_ms: 1, freed_after_ms: 10 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 0 }
    }

    fn entry(seq: u64, node: u8, time: Timestamp, changed: FieldGroups) -> Entry {
        let commit = CommitId::from_bytes([1; 16]);
        let version = Version { seq: Seq(seq), commit };
        let name = Name::new("n").expect("a letter is a name");
        let state = NodeState {
            node: NodeId::from_bytes([node; 16]),
            place: Place { parent: NodeId::ROOT, name, trashed: false },
            content: Content::Directory,
            mode: Mode::default(),
            place_version: version,
            content_version: version,
            mode_version: version,
        };
        Entry { seq: Seq(seq), commit, time, changed, state }
    }

    #[test]
    fn an_entry_goes_only_for_a_later_one_of_its_node_and_group_that_is_old_too() {
        let place = FieldGroups { place: true, ..FieldGroups::default() };
        let content = FieldGroups { content: true, ..FieldGroups::default() };
        let none = FieldGroups::default();
        let (all, now) = (FieldGroups::ALL, at(100));
        // Old is what was made before second 99.
        let rows = [
            (entry(1, 1, at(10), all), entry(2, 1, at(20), place), place, "superseded in one group"),
            (entry(1, 1, at(10), content), entry(2, 1, at(20), place), none, "another group"),
            (entry(1, 1, at(10), all), entry(2, 1, at(20), all), all, "superseded wholly"),
            (entry(1, 1, at(10), all), entry(2, 2, at(20), all), none, "another node"),
            (entry(2, 1, at(10), all), entry(1, 1, at(20), all), none, "an earlier one"),
            (entry(1, 1, at(10), all), entry(2, 1, at(99), all), none, "the later one is within what is kept"),
            (entry(1, 1, at(99), all), entry(2, 1, at(20), all), none, "the clock went back between them"),
        ];
        for (earlier, later, expected, why) in rows {
            assert_eq!(KEEP.superseded(&earlier, &later, now), expected, "{why}");
        }
    }

    #[test]
    fn the_trash_is_emptied_after_its_time_and_not_before() {
        let half = Timestamp { seconds: 100, nanoseconds: 500_000_000 };
        assert!(!KEEP.may_purge(at(100), half));
        assert!(KEEP.may_purge(at(100), half.plus_milliseconds(1)));
        assert!(!KEEP.may_purge(at(200), at(100)), "trashed in the future");
    }

    #[test]
    fn a_clock_that_jumps_throws_nothing_away() {
        let century = at(100 * 365 * 86_400);
        assert_eq!(retention_clock(None, at(5)), at(5));
        assert_eq!(retention_clock(Some(at(0)), at(86_400)), at(86_400));
        assert_eq!(retention_clock(Some(at(0)), century), at(2 * 86_400));
        assert_eq!(retention_clock(Some(century), at(5)), at(5), "a clock that was put right counts at once");
    }
}
