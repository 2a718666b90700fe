//! Tumbling and hopping windows of event time, aligned to 1970-01-01 00:00 UTC as in Flink.
//!
//! Invariant: a window is open until the watermark has passed its end by the allowed lateness; what is open is decided by
//! the watermark before an epoch's rows, so that rows of one epoch do not close windows to each other.

use crate::error::StreamError;

/// More windows than this one row cannot belong to.
const OVERLAP_LIMIT: i64 = 1_000;

/// TUMBLE (slide = size) or HOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The column of event time, in microseconds.
    pub time_column: usize,
    /// How long a window is.
    pub size_us: i64,
    /// How far apart windows begin.
    pub slide_us: i64,
    /// For how long after the watermark passed its end a window still takes rows.
    pub lateness_us: i64,
}

impl Window {
    pub(crate) fn check(&self) -> Result<(), StreamError> {
        if self.size_us <= 0 || self.slide_us <= 0 || self.lateness_us < 0 {
            return Err(StreamError::Definition { why: "a window needs a size and a slide above zero" });
        }
        if self.size_us / self.slide_us > OVERLAP_LIMIT {
            return Err(StreamError::Definition { why: "a row would belong to more than 1,000 windows" });
        }
        Ok(())
    }

    /// The ends of the windows that a time belongs to, latest first; `None` where a calendar has no such time.
    pub(crate) fn ends(&self, time_us: i64) -> Option<impl Iterator<Item = i64> + use<>> {
        let Self { size_us, slide_us, .. } = *self;
        let last_start = time_us.checked_sub(time_us.rem_euclid(slide_us))?;
        last_start.checked_add(size_us)?;
        // The earliest, of which the window begins after `time - size`.
        time_us.checked_sub(size_us)?;
        let starts = std::iter::successors(Some(last_start), move |start| Some(start - slide_us));
        Some(starts.take_while(move |start| *start > time_us - size_us).map(move |start| start + size_us))
    }

    /// Whether a window that ends at `end_us` takes no more rows.
    pub(crate) fn is_closed(&self, end_us: i64, watermark_us: Option<i64>) -> bool {
        watermark_us.is_some_and(|watermark_us| end_us.saturating_add(self.lateness_us) <= watermark_us)
    }
}

/// Whether the watermark has reached a window's end.
pub(crate) fn has_ended(end_us: i64, watermark_us: Option<i64>) -> bool {
    watermark_us.is_some_and(|watermark_us| end_us <= watermark_us)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(size_us: i64, slide_us: i64) -> Window {
        Window { time_column: 0, size_us, slide_us, lateness_us: 3 }
    }

    fn ends(window: Window, time_us: i64) -> Option<Vec<i64>> {
        window.ends(time_us).map(Iterator::collect)
    }

    #[test]
    fn windows_are_aligned_and_half_open() {
        assert_eq!(ends(window(10, 10), 0), Some(vec![10]));
        assert_eq!(ends(window(10, 10), 9), Some(vec![10]));
        assert_eq!(ends(window(10, 10), 10), Some(vec![20]));
        assert_eq!(ends(window(10, 10), -1), Some(vec![0]));
        assert_eq!(ends(window(10, 5), 12), Some(vec![20, 15]));
        assert_eq!(ends(window(5, 10), 12), Some(vec![15]));
        assert_eq!(ends(window(5, 10), 17), Some(vec![]), "between two windows");
        assert_eq!(ends(window(10, 10), i64::MAX), None);
        assert_eq!(ends(window(10, 10), i64::MIN), None);
    }

    #[test]
    fn a_window_closes_when_the_watermark_has_passed_it_by_the_lateness() {
        let window = window(10, 10);
        assert!(!window.is_closed(10, None) && !has_ended(10, None));
        assert!(!has_ended(10, Some(9)) && has_ended(10, Some(10)));
        assert!(!window.is_closed(10, Some(12)) && window.is_closed(10, Some(13)));
        assert!(!window.is_closed(i64::MAX, Some(0)));
    }

    #[test]
    fn impossible_windows_are_refused() {
        assert!(window(10, 10).check().is_ok());
        assert!(window(0, 10).check().is_err());
        assert!(window(10, 0).check().is_err());
        assert!(window(10_000_000, 1).check().is_err());
    }

    proptest! {
        #[test]
        fn a_time_belongs_to_each_window_that_holds_it(time_us in -10_000_i64..10_000, size_us in 1_i64..200, slide_us in 1_i64..200) {
            let held = (-300..300).map(|number| number * slide_us).filter(|start| (*start..start + size_us).contains(&time_us));
            let mut expected: Vec<i64> = held.map(|start| start + size_us).collect();
            expected.reverse();
            if time_us.abs() < 250 * slide_us - size_us {
                prop_assert_eq!(ends(window(size_us, slide_us), time_us), Some(expected));
            }
        }
    }
}
