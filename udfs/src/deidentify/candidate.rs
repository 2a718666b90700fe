//! Spans that may be identifiers, and how those that overlap are settled.
//!
//! Invariant: settled spans do not overlap and stand in the order of the text; the more certain one wins, then the longer.

use super::entity::Entity;

/// A span of the normalised text that may be an identifier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) entity: Entity,
    /// How certain, in hundredths.
    pub(crate) score: u8,
    /// The rule that found it.
    pub(crate) recognizer: &'static str,
}

/// Settles overlaps in place.
pub(crate) fn settle(candidates: &mut Vec<Candidate>) {
    // By start; of those that start together the better one stands first.
    candidates.sort_by(|a, b| (a.start, b.score, b.end).cmp(&(b.start, a.score, a.end)));
    let mut kept: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for candidate in candidates.drain(..) {
        let mut wins = true;
        // What it beats ends here; kept spans do not overlap, so that only the last ones can meet it.
        while let Some(last) = kept.last().filter(|last| last.end > candidate.start) {
            let (new, old) = (candidate.end - candidate.start, last.end - last.start);
            if candidate.entity == last.entity && candidate.score.abs_diff(last.score) <= 15 {
                wins = false;
                if let Some(last) = kept.last_mut() {
                    // Two rules saw one thing: what either saw of it is hidden.
                    last.end = last.end.max(candidate.end);
                    last.score = last.score.max(candidate.score);
                }
                break;
            }
            if (candidate.score, new) > (last.score, old) {
                kept.pop();
            } else {
                wins = false;
                break;
            }
        }
        if wins {
            kept.push(candidate);
        }
    }
    *candidates = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(start: u32, end: u32, entity: Entity, score: u8) -> Candidate {
        Candidate { start, end, entity, score, recognizer: "test" }
    }

    #[test]
    fn the_more_certain_then_the_longer_one_stays() {
        let mut all = vec![
            candidate(0, 4, Entity::Person, 60),
            candidate(2, 9, Entity::UsSsn, 90),
            candidate(9, 12, Entity::Age, 50),
            candidate(9, 14, Entity::DateTime, 50),
            candidate(20, 24, Entity::Person, 60),
            candidate(22, 28, Entity::Person, 70),
        ];
        settle(&mut all);
        let spans: Vec<_> = all.iter().map(|c| (c.start, c.end, c.entity)).collect();
        assert_eq!(spans, [(2, 9, Entity::UsSsn), (9, 14, Entity::DateTime), (20, 28, Entity::Person)]);
    }
}
