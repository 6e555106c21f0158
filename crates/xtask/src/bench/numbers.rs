//! Medians and ratios, and how they are printed.

use std::time::Duration;

/// The middle value; of an even number of values the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// The ratios of each pair: what was measured side by side is compared, and nothing else.
pub fn paired(numerators: &[f64], denominators: &[f64]) -> Vec<f64> {
    assert_eq!(numerators.len(), denominators.len(), "every round measures every way");
    numerators.iter().zip(denominators).map(|(above, below)| above / below).collect()
}

/// Median and range of ratios: `1.08 (1.02 to 1.31)`.
pub fn ratio(values: &[f64]) -> String {
    let (low, high) = range(values);
    let digits = if high < 10.0 { 2 } else { 1 };
    format!("{:.digits$} ({low:.digits$} to {high:.digits$})", median(values))
}

/// Seconds as the tables show them: milliseconds below one second.
pub fn time(seconds: f64) -> String {
    match seconds {
        short if short < 0.01 => format!("{:.1} ms", short * 1e3),
        short if short < 1.0 => format!("{:.0} ms", short * 1e3),
        long => format!("{long:.2} s"),
    }
}

/// The range of times.
pub fn span(values: &[f64]) -> String {
    let (low, high) = range(values);
    format!("{} to {}", time(low), time(high))
}

/// Durations as numbers.
pub fn seconds(durations: impl IntoIterator<Item = Duration>) -> Vec<f64> {
    durations.into_iter().map(|duration| duration.as_secs_f64()).collect()
}

fn range(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn pairs_are_compared_and_printed_with_their_range() {
        assert_eq!(ratio(&paired(&[2.0, 3.0, 9.0], &[1.0, 2.0, 3.0])), "2.00 (1.50 to 3.00)");
        assert_eq!(ratio(&[12.0, 20.0]), "16.0 (12.0 to 20.0)");
    }

    #[test]
    fn times_are_for_people() {
        assert_eq!(
            (time(0.0012), time(0.12), time(2.5)),
            ("1.2 ms".into(), "120 ms".into(), "2.50 s".into())
        );
    }
}
