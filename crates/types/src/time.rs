//! Points in time. Opaque data where they are an mtime; never used to order changes.

use minicbor::{Decode, Encode};

/// The coarsest clock of any file system: FAT counts pairs of seconds.
pub const COARSEST_CLOCK_NS: u128 = 2_000_000_000;

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

    /// The time on the calendar, in UTC; clamped to the years that have four digits, 0001 to 9999.
    pub fn civil(&self) -> Civil {
        const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
        let seconds = self.seconds.clamp(*SECONDS.start(), *SECONDS.end());
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        Civil { year, month, day, hour: second / 3600, minute: second / 60 % 60, second: second % 60 }
    }

    /// The time so many milliseconds earlier.
    pub fn minus_milliseconds(&self, milliseconds: u64) -> Timestamp {
        Timestamp::from_nanoseconds(self.as_nanoseconds() - i128::from(milliseconds) * 1_000_000)
    }
}

/// A time on the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// 1 to 9999.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
}

/// Year, month and day, so many days after 1970-01-01. After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`: eras of 400 years that begin on a 1 March, so that the leap day is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    const FROM_0000_03_01_TO_1970_01_01: i64 = 719_468;
    let days = days + FROM_0000_03_01_TO_1970_01_01;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_has_leap_days_and_times_before_the_epoch() {
        let civil = |seconds| {
            let Civil { year, month, day, hour, minute, second } = Timestamp { seconds, nanoseconds: 0 }.civil();
            ((year, month, day), (hour, minute, second))
        };
        assert_eq!(civil(0), ((1970, 1, 1), (0, 0, 0)));
        assert_eq!(civil(-1), ((1969, 12, 31), (23, 59, 59)));
        assert_eq!(civil(951_782_400), ((2000, 2, 29), (0, 0, 0)));
        assert_eq!(civil(4_107_542_400), ((2100, 3, 1), (0, 0, 0)));
        assert_eq!(civil(1_795_183_804), ((2026, 11, 20), (14, 10, 4)));
        assert_eq!(civil(i64::MIN), ((1, 1, 1), (0, 0, 0)));
        assert_eq!(civil(i64::MAX), ((9999, 12, 31), (23, 59, 59)));
    }
}
