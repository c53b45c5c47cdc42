//! Times as people read and write them: of this place, and near ones by their day.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use skep_platform::talk::utc_text;
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

/// `2026-11-20 14:02:07` of this place: what [`parse_past`] reads back, to the second.
pub fn full(time: Timestamp, now: &Zoned) -> String {
    match zoned(time, now.time_zone()) {
        Some(then) => then.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => "long ago".into(),
    }
}

/// `2026-11-20T13:02:07.000000001Z`: what [`parse_past`] reads back exactly.
pub fn exact(time: Timestamp) -> String {
    let whole = utc_text(time);
    format!("{}.{:09}Z", whole.trim_end_matches('Z'), time.nanoseconds)
}

/// Reads a time that has passed, as people write it: `18:00` (the last time that clocks here showed it), `yesterday`, `yesterday 18:00`,
/// `2026-11-20`, `2026-11-20 14:02`, `2026-11-20T13:02:07Z`, `2h`, `3d ago`, `now`. Without a fraction it means the end of its second.
pub fn parse_past(text: &str, now: &Zoned) -> Option<Timestamp> {
    let text = text.trim();
    if text == "now" {
        return Some(timestamp(now));
    }
    if let Some(past) = ago(text.strip_suffix(" ago").unwrap_or(text), now) {
        return Some(past);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(through_second(text, Timestamp::from_nanoseconds(time.as_nanosecond())));
    }
    let (day, clock) = text.split_once(' ').unwrap_or((text, ""));
    let date = match day {
        "today" => Some(now.date()),
        "yesterday" => now.date().yesterday().ok(),
        _ => None,
    };
    let civil = match date {
        Some(date) if clock.is_empty() => date.to_datetime(Time::midnight()),
        Some(date) => date.to_datetime(clock.parse().ok()?),
        None => match text.parse::<Time>() {
            // A time of the day that is still to come was yesterday.
            Ok(time) if date_time(now.date(), time, now)? > *now => now.date().yesterday().ok()?.to_datetime(time),
            Ok(time) => now.date().to_datetime(time),
            Err(_) => text.parse().ok()?,
        },
    };
    let then = civil.to_zoned(now.time_zone().clone()).ok()?;
    Some(through_second(text, Timestamp::from_nanoseconds(then.timestamp().as_nanosecond())))
}

/// The end of its second, if `text` says nothing more exact.
fn through_second(text: &str, time: Timestamp) -> Timestamp {
    if text.contains('.') { time } else { Timestamp { nanoseconds: 999_999_999, ..time } }
}

fn date_time(date: Date, time: Time, now: &Zoned) -> Option<Zoned> {
    date.to_datetime(time).to_zoned(now.time_zone().clone()).ok()
}

/// `30m`, `2h`, `3d`, `2w` before now.
fn ago(text: &str, now: &Zoned) -> Option<Timestamp> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_s: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(unit_s)?.checked_mul(1000)?;
    Some(timestamp(now).minus_milliseconds(milliseconds))
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
    #[test]
    fn a_time_that_has_passed_is_read_as_people_write_it() {
        let now: Zoned = "2026-11-20T15:00+01:00[Europe/Berlin]".parse().unwrap();
        let rows = [
            ("14:02", "2026-11-20T13:02:00.999999999Z"),
            ("18:00", "2026-11-19T17:00:00.999999999Z"),
            ("yesterday 18:00", "2026-11-19T17:00:00.999999999Z"),
            ("yesterday", "2026-11-18T23:00:00.999999999Z"),
            ("today 08:30:05", "2026-11-20T07:30:05.999999999Z"),
            ("2026-11-18", "2026-11-17T23:00:00.999999999Z"),
            ("2026-11-18 12:00", "2026-11-18T11:00:00.999999999Z"),
            ("2026-11-18T12:00:07", "2026-11-18T11:00:07.999999999Z"),
            ("2026-11-18T12:00:07Z", "2026-11-18T12:00:07.999999999Z"),
            ("2026-11-18T12:00:07.5Z", "2026-11-18T12:00:07.5Z"),
            ("2h", "2026-11-20T12:00:00Z"),
            ("3d ago", "2026-11-17T14:00:00Z"),
            ("now", "2026-11-20T14:00:00Z"),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_past(text, &now), Some(at(expected)), "{text}");
        }
        for text in ["", "soon", "25:00", "2026-13-01", "3x", "99999999999999999999h"] {
            assert_eq!(parse_past(text, &now), None, "{text}");
        }
        let moment = at("2026-11-18T12:00:07.000000005Z");
        assert_eq!(parse_past(&exact(moment), &now), Some(moment));
        assert_eq!(full(moment, &now), "2026-11-18 13:00:07");
    }
}
