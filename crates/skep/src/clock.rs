//! Times as people read and write them: of this place, and near ones by their day.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use skep_types::Timestamp;

/// Now, of this place.
pub fn now() -> Zoned {
    Zoned::now()
}

/// `today 14:02`, `yesterday 9:05`, `3 Oct`, `3 Oct 2024`.
pub fn text(time: Timestamp, now: &Zoned) -> String {
    let Some(then) = zoned(time, now.time_zone()) else { return "long ago".into() };
    let (day, today) = (then.date(), now.date());
    let clock = then.strftime("%H:%M");
    if day == today {
        format!("today {clock}")
    } else if is_day_before(day, today) {
        format!("yesterday {clock}")
    } else if day.year() == today.year() {
        then.strftime("%-d %b").to_string()
    } else {
        then.strftime("%-d %b %Y").to_string()
    }
}

/// `14:02` for a time of today, `Sat 14:02` for one within six days, else the date with it.
pub fn until_text(time: Timestamp, now: &Zoned) -> String {
    let Some(then) = zoned(time, now.time_zone()) else { return "a time far away".into() };
    let days = then.date().since(now.date()).map_or(i32::MAX, |span| span.get_days());
    let shape = match days {
        0 => "%H:%M",
        1..=6 => "%a %H:%M",
        _ => "%-d %b %Y %H:%M",
    };
    then.strftime(shape).to_string()
}

/// The next time at which clocks here show `time`.
pub fn next(time: Time, now: &Zoned) -> Option<Timestamp> {
    let today = now.date().to_datetime(time).to_zoned(now.time_zone().clone()).ok()?;
    let next = if today > *now { today } else { today.checked_add(1.day()).ok()? };
    Some(Timestamp { seconds: next.timestamp().as_second(), nanoseconds: 0 })
}

/// `now` in the words of the model.
pub fn timestamp(now: &Zoned) -> Timestamp {
    Timestamp::from_nanoseconds(now.timestamp().as_nanosecond())
}

/// Reads `2026-11-20T14:10:04Z`.
pub fn parse_utc(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_nanoseconds(time.as_nanosecond()))
}

fn zoned(time: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let time = jiff::Timestamp::from_second(time.seconds).ok()?;
    Some(time.to_zoned(zone.clone()))
}

fn is_day_before(day: Date, today: Date) -> bool {
    day.tomorrow().is_ok_and(|next| next == today)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        parse_utc(text).unwrap()
    }

    #[test]
    fn near_times_are_told_by_their_day_and_in_the_clock_of_the_place() {
        let now: Zoned = "2026-11-20T15:00+01:00[Europe/Berlin]".parse().unwrap();
        assert_eq!(text(at("2026-11-20T13:02:07Z"), &now), "today 14:02");
        assert_eq!(text(at("2026-11-19T08:05:00Z"), &now), "yesterday 09:05");
        assert_eq!(text(at("2026-10-03T12:00:00Z"), &now), "3 Oct");
        assert_eq!(text(at("2024-10-03T12:00:00Z"), &now), "3 Oct 2024");
        assert_eq!(until_text(at("2026-11-20T17:00:00Z"), &now), "18:00");
        assert_eq!(until_text(at("2026-11-21T05:00:00Z"), &now), "Sat 06:00");
        assert_eq!(next(Time::constant(18, 0, 0, 0), &now), Some(at("2026-11-20T17:00:00Z")));
        assert_eq!(next(Time::constant(6, 0, 0, 0), &now), Some(at("2026-11-21T05:00:00Z")));
    }
}
