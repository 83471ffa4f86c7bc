//! Dates as HTTP writes them: `Sun, 06 Nov 1994 08:49:37 GMT`.
//!
//! Servers write this one form, and must read two older ones, too (RFC 9110, 5.6.7). Seconds are counted from 1970; what
//! lies before is no date here. The calendar is Howard Hinnant's, with years that begin in March.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const LENGTH: usize = 29;

const DAY: u64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1970-01-01 was the first
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A moment, by UTC's calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: u64,
    /// From 1 on, as the day.
    pub(crate) month: usize,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

impl Civil {
    pub(crate) fn from_seconds(seconds: u64) -> Civil {
        let (days, second) = (seconds / DAY, seconds % DAY);
        let days = days + 719_468; // since 0000-03-01
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Civil {
            year: year + era * 400 + u64::from(month <= 2),
            month: month as usize,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    fn seconds(self) -> Option<u64> {
        let in_range = (1970..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second <= 60; // a leap second
        if !in_range {
            return None;
        }
        let month = self.month as u64;
        let year = self.year - u64::from(month <= 2);
        let (era, of_era) = (year / 400, year % 400);
        let from_march = if month > 2 { month - 3 } else { month + 9 };
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        let days = days.checked_sub(719_468)?;
        Some(days * DAY + self.hour * 3600 + self.minute * 60 + self.second)
    }
}

/// `seconds` in the form that servers write.
pub(crate) fn format(seconds: u64) -> [u8; LENGTH] {
    let civil = Civil::from_seconds(seconds);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let two = |n: u64| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    text[..3].copy_from_slice(WEEKDAYS[(seconds / DAY % 7) as usize].as_bytes());
    text[5..7].copy_from_slice(&two(civil.day));
    text[8..11].copy_from_slice(MONTHS[civil.month - 1].as_bytes());
    text[12..14].copy_from_slice(&two(civil.year / 100));
    text[14..16].copy_from_slice(&two(civil.year));
    text[17..19].copy_from_slice(&two(civil.hour));
    text[20..22].copy_from_slice(&two(civil.minute));
    text[23..25].copy_from_slice(&two(civil.second));
    text
}

/// The present second, for `Date`. Put together once a second and thread.
// Not inlined: a thread-local's address must not be kept across a switch.
#[inline(never)]
pub(crate) fn now() -> [u8; LENGTH] {
    thread_local! {
        static LAST: Cell<(u64, [u8; LENGTH])> = Cell::new((0, format(0)));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    LAST.with(|last| {
        if last.get().0 != now {
            last.set((now, format(now)));
        }
        last.get().1
    })
}

/// Seconds of a date in any of the three forms.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let fields: Vec<&str> = text
        .split([' ', ','])
        .filter(|field| !field.is_empty())
        .collect();
    let (day, month, year, time) = match fields[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [_, day, month, year, time, "GMT"] => (day, month, number(year, 4)?, time),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [_, date, time, "GMT"] => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, number(parts.next()?, 2)?);
            // A year that would lie more than 50 years ahead is a past one; the century turns at 1970 here.
            (day, month, year + if year < 70 { 2000 } else { 1900 }, time)
        }
        // Sun Nov  6 08:49:37 1994
        [_, month, day, time, year] => (day, month, number(year, 4)?, time),
        _ => return None,
    };
    let mut time = time.split(':');
    let civil = Civil {
        year,
        month: 1 + MONTHS.iter().position(|name| *name == month)?,
        day: number(day, day.len().clamp(1, 2))?,
        hour: number(time.next()?, 2)?,
        minute: number(time.next()?, 2)?,
        second: number(time.next()?, 2)?,
    };
    time.next().is_none().then(|| civil.seconds())?
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}
