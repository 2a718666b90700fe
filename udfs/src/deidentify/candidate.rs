//! Spans that may be identifiers, and how those that overlap are settled.
//!
//! Invariant: settled spans do not overlap and stand in the order of the text; what any candidate covered is covered; of
//! those that overlap the more certain one gives the name, then the longer.

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

/// The rule of what other columns say.
pub(crate) const HINT: &str = "hint";

/// Settles overlaps in place.
pub(crate) fn settle(candidates: &mut Vec<Candidate>) {
    // By start; of those that start together the better one stands first.
    candidates.sort_by(|a, b| (a.start, b.score, b.end).cmp(&(b.start, a.score, a.end)));
    let mut kept: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for candidate in candidates.drain(..) {
        match kept.last_mut() {
            Some(last) if last.end > candidate.start => *last = merged(last, &candidate),
            _ => kept.push(candidate),
        }
    }
    *candidates = kept;
}

/// Two that overlap as one: all that either covers is hidden, under the name of the better one.
fn merged(a: &Candidate, b: &Candidate) -> Candidate {
    let length = |one: &Candidate| one.end - one.start;
    let better = if (b.score, length(b)) > (a.score, length(a)) { b } else { a };
    // A word of a longer span says less of what that is than the span: "Smith" of "12 Smith Street".
    let within = |inner: &Candidate, outer: &Candidate| outer.start <= inner.start && inner.end <= outer.end;
    let named = match (better.recognizer == HINT, within(b, a), within(a, b)) {
        (true, true, false) => a,
        (true, false, true) => b,
        _ => better,
    };
    Candidate { start: a.start.min(b.start), end: a.end.max(b.end), score: a.score.max(b.score), ..*named }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(start: u32, end: u32, entity: Entity, score: u8) -> Candidate {
        Candidate { start, end, entity, score, recognizer: "test" }
    }

    #[test]
    fn a_hint_within_a_longer_span_lets_it_stand() {
        let hint = |start, end| Candidate { recognizer: HINT, ..candidate(start, end, Entity::Person, 90) };
        let mut all = vec![
            candidate(0, 30, Entity::Location, 85),
            hint(3, 8),
            hint(28, 33),
            hint(40, 45),
            candidate(40, 60, Entity::Organization, 70),
        ];
        settle(&mut all);
        let spans: Vec<_> = all.iter().map(|c| (c.start, c.end, c.entity)).collect();
        assert_eq!(spans, [(0, 33, Entity::Location), (40, 60, Entity::Organization)]);
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
        assert_eq!(spans, [(0, 9, Entity::UsSsn), (9, 14, Entity::DateTime), (20, 28, Entity::Person)]);
    }
}
