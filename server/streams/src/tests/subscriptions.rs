//! What subscribers get: everything behind their token, in order, once, or an error that says where to go on.

use std::sync::Arc;

use arrow::array::AsArray;

use super::faulty_disk::FaultyDisk;
use super::stream::{Records, STREAM, definition, open, rows, vault};
use super::views::{self, SECOND_US};
use crate::epoch::Epochs;
use crate::error::StreamError;
use crate::operator::ChangeKind;
use crate::row_id::{RowId, ViewVersion};
use crate::store::Store;
use crate::subscribe::{Feed, Position, Subscription};

const START_US: i64 = 1_769_500_000 * SECOND_US;

struct Fixture {
    disk: FaultyDisk,
    records: Records,
    epochs: Epochs,
    feed: Arc<Feed>,
    sent: i64,
}

impl Fixture {
    fn new() -> Self {
        let (disk, records) = (FaultyDisk::default(), Records::default());
        records.append(0, "{}");
        let (epochs, feed) = start(&disk, &records);
        Self { disk, records, epochs, feed, sent: 0 }
    }

    /// An epoch with this many alerts.
    fn alerts(&mut self, count: i64) {
        for _ in 0..count {
            self.sent += 1;
            self.records.append(0, &format!("{{\"patient_id\": 1, \"heart_rate\": 130, \"seq\": {}}}", self.sent));
        }
        while self.epochs.tick(START_US + self.sent).expect("works") {}
    }

    fn restart(self) -> Self {
        let Self { disk, records, epochs, feed, sent } = self;
        drop((epochs, feed));
        let (epochs, feed) = start(&disk, &records);
        Self { disk, records, epochs, feed, sent }
    }
}

fn start(disk: &FaultyDisk, records: &Records) -> (Epochs, Arc<Feed>) {
    let store = Arc::new(Store::over_disk(Box::new(disk.clone()), vault()).expect("opens"));
    let mut epochs = Epochs::new(store).expect("reads");
    epochs.add_stream(definition(5_000), Box::new(records.clone())).expect("a stream");
    let feed = epochs.add_view(STREAM, views::alerts()).expect("a view");
    (epochs, feed)
}

/// The sequence numbers and ids of all that is there.
fn drain(subscription: &mut Subscription) -> Vec<(i64, RowId)> {
    let mut found = Vec::new();
    while let Some(delivery) = subscription.try_next().expect("follows") {
        assert_eq!(delivery.position, subscription.position());
        for changes in &delivery.changes {
            let seq = changes.rows.column(4).as_primitive::<arrow::datatypes::Int64Type>();
            found.extend(seq.values().iter().copied().zip(changes.ids.iter().copied()));
        }
    }
    found
}

fn numbers(found: &[(i64, RowId)]) -> Vec<i64> {
    found.iter().map(|(seq, _)| *seq).collect()
}

#[test]
fn a_snapshot_and_what_follows_it_are_everything_once() {
    let mut fixture = Fixture::new();
    fixture.alerts(5);
    let (snapshot, mut subscription) = fixture.feed.snapshot().expect("reads");
    fixture.alerts(2);
    let (held, ids) = rows(&snapshot, fixture.feed.view());
    assert_eq!((held.num_rows(), ids.len()), (5, 5), "a snapshot stays as it is");
    assert_eq!(numbers(&drain(&mut subscription)), [6, 7]);
    fixture.alerts(1);
    assert_eq!(numbers(&drain(&mut subscription)), [8]);
    assert_eq!(drain(&mut subscription), []);
}

#[test]
fn a_token_goes_on_after_any_change_also_after_a_restart() {
    let mut fixture = Fixture::new();
    for count in [3, 1, 2_500, 2] {
        fixture.alerts(count);
    }
    let everything = drain(&mut fixture.feed.subscribe(Position { epoch: 0, ordinal: 0 }));
    assert_eq!(numbers(&everything), (1..=2_506).collect::<Vec<_>>());
    let fixture = fixture.restart();
    let mut subscription = fixture.feed.subscribe(Position { epoch: 0, ordinal: 0 });
    let mut told = 0;
    loop {
        let token = subscription.token();
        let position = Position::of_token(&token, fixture.feed.view().view).expect("a token");
        let rest = drain(&mut fixture.feed.subscribe(position));
        assert_eq!(rest, everything[told..], "behind {told} changes, the ids too");
        match subscription.try_next().expect("follows") {
            Some(delivery) => told += delivery.changes.iter().map(|changes| changes.ids.len()).sum::<usize>(),
            None => break,
        }
    }
    assert_eq!(told, everything.len());
}

#[test]
fn a_token_of_another_view_or_version_or_of_nothing_is_refused() {
    let view = ViewVersion { view: 7, version: 2 };
    let token = Position { epoch: 5, ordinal: 9 }.token(view);
    assert_eq!(Position::of_token(&token, view).expect("its own"), Position { epoch: 5, ordinal: 9 });
    for other in [ViewVersion { view: 8, ..view }, ViewVersion { version: 3, ..view }] {
        assert!(matches!(Position::of_token(&token, other), Err(StreamError::Token)));
    }
    for hostile in ["", "x", &token[1..], &format!("{token}0"), &token.replace('0', "+"), &token.replace('0', "é")] {
        assert!(matches!(Position::of_token(hostile, view), Err(StreamError::Token)), "{hostile}");
    }
    let fixture = Fixture::new();
    let mut future = fixture.feed.subscribe(Position { epoch: 1_000, ordinal: 0 });
    assert!(matches!(future.try_next(), Err(StreamError::Token)), "an epoch that has not been");
}

#[test]
fn who_follows_too_slowly_is_told_where_to_go_on_and_misses_nothing() {
    let mut fixture = Fixture::new();
    let mut slow = fixture.feed.subscribe(Position::behind(0));
    assert_eq!(drain(&mut slow), []);
    fixture.alerts(3);
    for _ in 0..16 {
        fixture.alerts(5_000);
    }
    let Err(StreamError::Slow { token }) = slow.try_next() else { panic!("80,000 changes are not kept in memory") };
    let position = Position::of_token(&token, fixture.feed.view().view).expect("a token");
    let rest = drain(&mut fixture.feed.subscribe(position));
    assert_eq!(numbers(&rest), (1..=80_003).collect::<Vec<_>>());
}

#[test]
fn what_retention_removed_cannot_be_resumed_and_is_no_longer_held() {
    let mut fixture = Fixture::new();
    fixture.alerts(3);
    let mut early = fixture.feed.subscribe(Position::behind(0));
    assert!(early.try_next().expect("follows").is_some());
    let token = early.position();
    fixture.records.append(0, "{\"patient_id\": 1, \"heart_rate\": 131}");
    let later_us = START_US + 2 * views::DAY_US;
    assert!(fixture.epochs.tick(later_us).expect("works"));
    let fixture = fixture.restart();
    let mut beginning = fixture.feed.subscribe(Position { epoch: 0, ordinal: 0 });
    assert!(matches!(beginning.try_next(), Err(StreamError::TokenExpired)));
    let mut behind = fixture.feed.subscribe(token);
    assert_eq!(drain(&mut behind).len(), 1, "what stands behind the token is still there");
    let (snapshot, _) = fixture.feed.snapshot().expect("reads");
    assert_eq!(rows(&snapshot, fixture.feed.view()).0.num_rows(), 1);
}

#[test]
fn a_key_that_is_old_is_forgotten_without_a_word_and_may_come_back() {
    let (disk, records) = (FaultyDisk::default(), Records::default());
    let event = |patient: i32, seq: i32| {
        records.append(0, &format!("{{\"patient_id\": {patient}, \"heart_rate\": 70, \"ts\": {seq}, \"seq\": {seq}}}"));
    };
    let held = |store: &Store, view: &crate::definition::ViewDefinition| {
        let (rows, _) = rows(&store.snapshot().expect("reads"), view);
        rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
    };
    let kinds = |store: &Store, view: &crate::definition::ViewDefinition, from: u64| {
        let told = store.snapshot().expect("reads").changes_after(view, (from, u32::MAX), 100).expect("is kept");
        told.into_iter().flat_map(|(_, _, changes)| changes.kinds).collect::<Vec<_>>()
    };
    let views = [views::latest(), views::keyed()];
    event(1, 1);
    event(2, 2);
    let (store, mut epochs) = open(&disk, &records, 100, &views).expect("opens");
    assert!(epochs.tick(START_US).expect("works"));
    event(1, 3);
    assert!(epochs.tick(START_US + 2 * views::DAY_US).expect("works"));
    for view in &views {
        assert_eq!(held(&store, view), [1], "patient 2 is old, patient 1 came back");
        assert_eq!(kinds(&store, view, 1), [ChangeKind::Insert], "of which subscribers are told what came back");
    }
    drop((store, epochs));
    let (store, mut epochs) = open(&disk, &records, 100, &views).expect("opens");
    event(2, 4);
    assert!(epochs.tick(START_US + 2 * views::DAY_US + 1).expect("works"));
    let (counts, _) = rows(&store.snapshot().expect("reads"), &views[1]);
    assert_eq!(counts.column(1).as_primitive::<arrow::datatypes::Int64Type>().values(), &[1, 1], "counted anew");
}

#[test]
fn what_is_refused_and_dead_and_shown_goes_as_fast_as_it_comes() {
    let (disk, records) = (FaultyDisk::default(), Records::default());
    let burst = |time_us: i64| {
        for patient in 0..900 {
            let time = format!("\"ts\": {}", time_us / 1_000);
            records.append(0, &format!("{{\"patient_id\": {patient}, \"heart_rate\": 70, {time}}}"));
            records.append(0, &format!("{{\"patient_id\": {patient}, \"heart_rate\": 70}}"));
            records.append(0, "no object");
        }
        records.append(0, &format!("{{\"ts\": {}}}", time_us / 1_000 + 100_000));
    };
    burst(START_US);
    let view = views::tumble();
    let (store, mut epochs) = open(&disk, &records, 10_000, std::slice::from_ref(&view)).expect("opens");
    let held = || {
        let snapshot = store.snapshot().expect("reads");
        let (shown, _) = rows(&snapshot, &view);
        let refused = snapshot.refused(views::TUMBLE, usize::MAX).expect("reads").len();
        (shown.num_rows(), refused, snapshot.dead(STREAM, usize::MAX).expect("reads").len())
    };
    let begun_us = START_US + 200 * SECOND_US;
    assert!(epochs.tick(begun_us).expect("works"));
    assert_eq!(held(), (900, 900, 900));
    burst(START_US + 2 * views::DAY_US);
    assert!(epochs.tick(begun_us + 2 * views::DAY_US).expect("works"));
    // And the window of the row that moved the watermark at first.
    assert_eq!(held(), (901, 900, 900), "what came with the first burst is gone");
}

#[test]
fn a_dropped_view_ends_its_subscriptions_and_leaves_nothing() {
    let mut fixture = Fixture::new();
    fixture.alerts(3);
    let mut subscription = fixture.feed.subscribe(Position::behind(0));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    assert!(runtime.block_on(subscription.next()).is_ok());
    fixture.epochs.drop_view(views::ALERTS).expect("drops");
    assert!(matches!(runtime.block_on(subscription.next()), Err(StreamError::Closed)));
    let store = {
        let Fixture { disk, records, epochs, feed, .. } = fixture;
        drop((epochs, feed, subscription));
        let (store, mut epochs) = open(&disk, &records, 100, &[views::alerts()]).expect("opens");
        let snapshot = store.snapshot().expect("reads");
        assert_eq!(rows(&snapshot, &views::alerts()).0.num_rows(), 0);
        assert!(epochs.tick(START_US).expect("works"), "made again, it begins at the beginning");
        store
    };
    let snapshot = store.snapshot().expect("reads");
    assert_eq!(rows(&snapshot, &views::alerts()).0.num_rows(), 3);
}

#[test]
fn who_waits_is_woken_by_the_next_epoch() {
    let mut fixture = Fixture::new();
    let mut subscription = fixture.feed.subscribe(Position::behind(0));
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(subscription.next()).map(|delivery| delivery.changes[0].ids.len())
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    fixture.alerts(2);
    assert_eq!(waiting.join().expect("ends").expect("is told"), 2);
}
