//! Points in time. Opaque data where they are an mtime; never used to order changes.

use minicbor::{Decode, Encode};

/// Seconds and nanoseconds since 1970-01-01 00:00 UTC; any year, also before 1970 (the nanoseconds then still count up).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    #[n(0)]
    pub seconds: i64,
    /// The rest, 0 to 999,999,999.
    #[n(1)]
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The time so many nanoseconds after the epoch.
    pub fn from_nanoseconds(nanoseconds: i128) -> Timestamp {
        Timestamp {
            seconds: nanoseconds.div_euclid(1_000_000_000) as i64,
            nanoseconds: nanoseconds.rem_euclid(1_000_000_000) as u32,
        }
    }

    /// Nanoseconds after the epoch.
    pub fn as_nanoseconds(&self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }

    /// Whole milliseconds after the epoch, clamped to what fits.
    pub fn as_milliseconds(&self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanoseconds / 1_000_000))
    }

    /// The time so many milliseconds later.
    pub fn plus_milliseconds(&self, milliseconds: u64) -> Timestamp {
        Timestamp::from_nanoseconds(self.as_nanoseconds() + i128::from(milliseconds) * 1_000_000)
    }

    /// The time so many milliseconds earlier.
    pub fn minus_milliseconds(&self, milliseconds: u64) -> Timestamp {
        Timestamp::from_nanoseconds(self.as_nanoseconds() - i128::from(milliseconds) * 1_000_000)
    }
}
