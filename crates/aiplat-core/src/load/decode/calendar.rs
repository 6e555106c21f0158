//! Times of a timer, man 7 `systemd.time`, "Calendar Events": `[weekdays] [date] [time] [time zone]`. systemd has the last
//! word; what is refused here is what it would refuse for sure, before anything is written.

/// Words that stand for a whole expression.
const WORDS: [&str; 9] =
    ["minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly", "annually"];

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

const FORM: &str =
    "write it as in `daily`, `03:30` or `Mon..Fri *-*-* 03:30:00`; `systemd-analyze calendar` tries one";

pub(super) fn calendar(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    // A seconds' field of a crontab is none of systemd's, either.
    if words.len() >= 5
        && words.iter().all(|word| word.chars().all(|c| c.is_ascii_digit() || "*,/-".contains(c)))
    {
        return Err("that is how cron has it: write `*-*-* 03:30:00` for `30 3 * * *`".to_owned());
    }
    let (zone, rest) = match words.split_last() {
        Some((last, rest)) if !rest.is_empty() && is_zone(last) => (Some(last), rest),
        Some(_) | None => (None, words.as_slice()),
    };
    let fits = match rest {
        [word] if WORDS.contains(&word.to_ascii_lowercase().as_str()) => true,
        [word] if is_seconds(word) => true,
        [word] => is_days(word) || is_date(word) || is_time(word),
        [first, second] => {
            (is_days(first) && (is_date(second) || is_time(second))) || (is_date(first) && is_time(second))
        }
        [days, date, time] => is_days(days) && is_date(date) && is_time(time),
        _ => false,
    };
    if fits && zone.is_none_or(|zone| zone.len() <= 64) { Ok(words.join(" ")) } else { Err(FORM.to_owned()) }
}

/// `@1800000000`: seconds since 1970.
fn is_seconds(word: &str) -> bool {
    word.strip_prefix('@')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `UTC`, or a name of the time zone database: `Europe/Berlin`.
fn is_zone(word: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_+-".contains(c))
    };
    word == "UTC" || word == "GMT" || (word.contains('/') && word.split('/').all(is_name))
}

/// `Mon`, `Mon,Wed`, `Mon..Fri`.
fn is_days(word: &str) -> bool {
    let is_day = |name: &str| {
        let name = name.to_ascii_lowercase();
        DAYS.iter().any(|day| *day == name || day.get(..3) == Some(name.as_str()))
    };
    // With one hyphen as well, as it once was written.
    let is_part = |part: &str| match part.split_once("..").or_else(|| part.split_once('-')) {
        Some((from, to)) => is_day(from) && is_day(to),
        None => is_day(part),
    };
    word.strip_suffix(',').unwrap_or(word).split(',').all(is_part)
}

/// `2026-*-1`, `*-1,7-1`, `*-*~1`: the last two count from the end of the month.
fn is_date(word: &str) -> bool {
    let (date, day) = match word.rsplit_once('~') {
        Some((date, day)) => (date, day),
        None => match word.rsplit_once('-') {
            Some((date, day)) => (date, day),
            None => return false,
        },
    };
    let month = match date.split_once('-') {
        Some((year, month)) if is_component(year, 0, 2199, false) => month,
        Some(_) => return false,
        None => date,
    };
    is_component(month, 1, 12, false) && is_component(day, 1, 31, false)
}

/// `03:30`, `*:0/15`, `12:00:30.5`.
fn is_time(word: &str) -> bool {
    let parts: Vec<&str> = word.split(':').collect();
    match parts.as_slice() {
        [hour, minute] => is_component(hour, 0, 23, false) && is_component(minute, 0, 59, false),
        [hour, minute, second] => {
            is_component(hour, 0, 23, false)
                && is_component(minute, 0, 59, false)
                && is_component(second, 0, 59, true)
        }
        _ => false,
    }
}

/// `*`, `1`, `1,15`, `8..18`, `0/15`, `8..18/2`.
fn is_component(text: &str, least: u32, most: u32, has_fraction: bool) -> bool {
    let is_value = |text: &str| {
        let (whole, fraction) = match text.split_once('.').filter(|_| has_fraction) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits(whole)
            && whole.parse::<u32>().is_ok_and(|value| (least..=most).contains(&value))
            && fraction.is_none_or(is_digits)
    };
    let is_after = |from: &str, to: &str| match (from.parse::<f64>(), to.parse::<f64>()) {
        (Ok(from), Ok(to)) => from > to,
        (_, _) => true,
    };
    let is_step = |text: &str| {
        text.parse::<f64>().is_ok_and(|step| step > 0.0 && (has_fraction || step.fract() == 0.0))
    };
    let is_part = |part: &str| {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let is_range = match range.split_once("..") {
            Some((from, to)) => is_value(from) && is_value(to) && !is_after(from, to),
            None => range == "*" || is_value(range),
        };
        is_range && step.is_none_or(is_step)
    };
    text.split(',').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_reads_is_taken() {
        for text in [
            "daily",
            "Weekly",
            "Mon",
            "Mon..Fri 03:30",
            "Sat,Thu,Mon..Wed,Sat..Sun",
            "Mon,Sun 2026-*-* 2,1:23",
            "Wed *-1",
            "Wed..Wed,Wed *-1",
            "Wed, 17:48",
            "10-15",
            "*:0/15",
            "*:*:0/2",
            "*-*-7 0:0:0",
            "2026-03-05 08:05:40",
            "08:05:40.5",
            "*-*~1",
            "*-*~03,01 00:00",
            "26-1-1",
            "Mon-Fri 03:00",
            "@1800000000",
            "*:*:0/0.5",
            "1:2:3.1234567",
            "2003-02..04-05",
            "daily UTC",
            "05:40 Europe/Berlin",
            "*-*-1/3 8..18/2:00",
        ] {
            assert!(calendar(text).is_ok(), "{text}: {:?}", calendar(text));
        }
    }

    #[test]
    fn what_systemd_refuses_is_refused() {
        for text in [
            "",
            "dayly",
            "tomorrow",
            "30 3 * * *",
            "*/5 * * * *",
            "25:00",
            "03:60",
            "*-13-01",
            "*-*-32",
            "Mun 03:00",
            "03",
            "03:00 daily",
            "*:*:*:*",
            "1/0:00",
            "8..6:00",
            "*:0/7.5",
            "2026~1",
            "* 3:00",
            "daily\nmonthly weekly",
        ] {
            assert!(calendar(text).is_err(), "{text}");
        }
        assert!(calendar("30 3 * * *").is_err_and(|why| why.contains("cron")));
    }
}
