//! How far event time has come: no row older than the watermark is expected any more.
//!
//! Each partition has its own; the stream's is the least of those that are not idle. A row whose time is further ahead of
//! the server's clock than `ahead_us` counts as one of now: a device with a wrong clock closes no window early.
//!
//! Invariants: the watermark never falls; time comes in as an argument, so that the same calls give the same result.

use std::collections::BTreeMap;

use crate::error::StreamError;
use crate::row::take_array;

/// `WATERMARK FOR column AS column - delay`, and what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkRule {
    /// How late rows may come, in microseconds.
    pub delay_us: i64,
    /// After how long without rows a partition holds the others up no longer; `None`: never.
    pub idle_after_us: Option<i64>,
    /// How far ahead of the server's clock a row's time is believed.
    pub ahead_us: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    /// The latest event time that was believed.
    latest_us: Option<i64>,
    /// When rows were last seen.
    heard_us: i64,
}

/// The watermarks of one reader of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watermarks {
    rule: WatermarkRule,
    partitions: BTreeMap<u32, Mark>,
    current_us: Option<i64>,
}

impl Watermarks {
    pub(crate) fn new(rule: WatermarkRule) -> Self {
        Self { rule, partitions: BTreeMap::new(), current_us: None }
    }

    /// The stream's watermark, in microseconds of event time; `None` before there is one.
    pub(crate) fn current_us(&self) -> Option<i64> {
        self.current_us
    }

    /// Takes note of a row of `partition`.
    pub(crate) fn observe(&mut self, partition: u32, event_us: i64, now_us: i64) {
        let believed = if event_us > now_us.saturating_add(self.rule.ahead_us) { now_us } else { event_us };
        let mark = self.partitions.entry(partition).or_insert(Mark { latest_us: None, heard_us: now_us });
        mark.latest_us = mark.latest_us.max(Some(believed));
        mark.heard_us = mark.heard_us.max(now_us);
    }

    /// Moves the watermark as far as the partitions that there are allow.
    pub(crate) fn advance(&mut self, partitions: &[u32], now_us: i64) -> Option<i64> {
        for partition in partitions {
            self.partitions.entry(*partition).or_insert(Mark { latest_us: None, heard_us: now_us });
        }
        self.partitions.retain(|partition, _| partitions.contains(partition));
        let idle = |mark: &&Mark| {
            self.rule.idle_after_us.is_some_and(|after_us| now_us.saturating_sub(mark.heard_us) >= after_us)
        };
        let active = self.partitions.values().filter(|mark| !idle(mark));
        let least = active.map(|mark| mark.latest_us).min().flatten();
        self.current_us = self.current_us.max(least.map(|latest_us| latest_us.saturating_sub(self.rule.delay_us)));
        self.current_us
    }

    /// As bytes, for the epoch's transaction.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_time(self.current_us, &mut bytes);
        for (partition, mark) in &self.partitions {
            bytes.extend(partition.to_le_bytes());
            bytes.extend(mark.heard_us.to_le_bytes());
            encode_time(mark.latest_us, &mut bytes);
        }
        bytes
    }

    /// What [`Watermarks::encode`] wrote.
    pub(crate) fn decode(rule: WatermarkRule, bytes: &[u8]) -> Result<Self, StreamError> {
        let mut rest = bytes;
        let mut marks = Self::new(rule);
        marks.current_us = decode_time(&mut rest)?;
        while !rest.is_empty() {
            let partition = u32::from_le_bytes(take_array(&mut rest)?);
            let heard_us = i64::from_le_bytes(take_array(&mut rest)?);
            marks.partitions.insert(partition, Mark { latest_us: decode_time(&mut rest)?, heard_us });
        }
        Ok(marks)
    }
}

fn encode_time(time_us: Option<i64>, bytes: &mut Vec<u8>) {
    bytes.push(u8::from(time_us.is_some()));
    bytes.extend(time_us.unwrap_or_default().to_le_bytes());
}

fn decode_time(rest: &mut &[u8]) -> Result<Option<i64>, StreamError> {
    let [present] = take_array(rest)?;
    let time_us = i64::from_le_bytes(take_array(rest)?);
    Ok((present != 0).then_some(time_us))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: WatermarkRule = WatermarkRule { delay_us: 5, idle_after_us: Some(100), ahead_us: 10 };

    #[test]
    fn it_is_the_least_of_the_partitions_less_the_delay_and_never_falls() {
        let mut marks = Watermarks::new(RULE);
        marks.observe(0, 1_000, 1_000);
        assert_eq!(marks.advance(&[0, 1], 1_000), None, "nothing is known of the other partition");
        marks.observe(1, 900, 1_000);
        assert_eq!(marks.advance(&[0, 1], 1_000), Some(895));
        marks.observe(1, 950, 1_010);
        marks.observe(1, 940, 1_010);
        assert_eq!(marks.advance(&[0, 1], 1_010), Some(945), "what comes late takes nothing back");
        assert_eq!(marks.advance(&[0, 1, 2], 1_010), Some(945), "nor does a new partition");
    }

    #[test]
    fn an_idle_partition_holds_nobody_up_until_it_is_heard_again() {
        let mut marks = Watermarks::new(RULE);
        marks.observe(0, 1_000, 1_000);
        marks.observe(1, 500, 1_000);
        assert_eq!(marks.advance(&[0, 1], 1_099), Some(495));
        marks.observe(0, 1_090, 1_099);
        assert_eq!(marks.advance(&[0, 1], 1_100), Some(1_085));
        marks.observe(1, 600, 1_101);
        marks.observe(0, 1_101, 1_101);
        assert_eq!(marks.advance(&[0, 1], 1_101), Some(1_085), "held at what was told");
        let all_idle = marks.advance(&[0, 1], 9_000);
        assert_eq!(all_idle, Some(1_085), "time alone closes nothing");
        assert_eq!(marks.advance(&[0], 9_000), Some(1_085));
    }

    #[test]
    fn a_clock_that_is_ahead_moves_it_no_further_than_now() {
        let mut marks = Watermarks::new(RULE);
        marks.observe(0, 1_009, 1_000);
        assert_eq!(marks.advance(&[0], 1_000), Some(1_004), "within what is believed");
        marks.observe(0, i64::MAX, 1_010);
        assert_eq!(marks.advance(&[0], 1_010), Some(1_005));
        marks.observe(0, i64::MIN, i64::MAX);
        assert_eq!(marks.advance(&[0], 1_011), Some(1_005));
    }

    proptest! {
        #[test]
        fn it_is_monotone_and_comes_back_from_its_bytes(
            events in prop::collection::vec((0_u32..3, any::<i64>(), 0_i64..50, 1_usize..4), 1..60)
        ) {
            let (mut marks, mut now_us, mut last) = (Watermarks::new(RULE), 0, None);
            for (partition, event_us, later_us, partitions) in events {
                now_us += later_us;
                marks.observe(partition, event_us, now_us);
                let all = [0, 1, 2];
                let current = marks.advance(&all[..partitions.min(3)], now_us);
                prop_assert!(current >= last);
                prop_assert!(current.is_none_or(|current| current <= now_us + RULE.ahead_us));
                last = current;
                prop_assert_eq!(&Watermarks::decode(RULE, &marks.encode()).expect("decodes"), &marks);
            }
        }
    }
}
