//! Governed tables answer as physically filtered and masked copies do.
//!
//! Random queries run on both, as the same restricted role: rows and error codes must be equal, or something that the
//! policies hide has been told. `compare.rs` has the rule, `data.rs` the rows that make leaks show. The control runs the
//! same queries over the same decisions inlined as ordinary plan nodes, and must be found out.
//!
//! A run makes the same queries every time; `LAKEWARD_TEST_SEED` and `LAKEWARD_TEST_QUERIES` choose others, and more of
//! them. Invariant: no difference is ever excused; whoever finds one mends the barrier, or an expression that hangs on the
//! order in which visible rows are evaluated.

mod compare;
mod control;
mod data;
mod fixture;
mod generate;
mod lake;
mod vocabulary;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::{StreamExt, stream};
use lakeward_base::Coded;

use compare::{Outcome, difference};
use control::Inlined;
use fixture::{Fixture, Layout};
use generate::{Generator, Query};
use vocabulary::{PATIENTS, VISITS};

const DEFAULT_SEED: u64 = 7;
const DEFAULT_QUERIES: usize = 300;
/// Queries that run at once.
const CONCURRENCY: usize = 4;

fn from_environment<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn seed() -> u64 {
    from_environment("LAKEWARD_TEST_SEED").unwrap_or(DEFAULT_SEED)
}

/// The fixture of all tests that only read answers, while any of them holds it.
fn shared() -> Arc<Fixture> {
    static SHARED: Mutex<Weak<Fixture>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let fixture = Arc::new(Fixture::open());
        *shared = Arc::downgrade(&fixture);
        fixture
    })
}

/// The queries of this run, each with the layout that it runs on.
fn queries(count: usize) -> Vec<(Layout, Query)> {
    let mut generator = Generator::new(seed());
    Layout::ALL.into_iter().cycle().take(count).map(|layout| (layout, generator.query())).collect()
}

async fn engine_outcome(fixture: &Fixture, query: &Query, schema: &str) -> Outcome {
    let text = query.over(schema);
    let answer = match query.fetched {
        Some(rows) => fixture.by_cursor(&text, rows).await,
        None => fixture.as_analyst(&text, &query.parameters).await,
    };
    Outcome::of(answer, |error| error.sqlstate().to_string())
}

#[test]
fn governed_tables_answer_as_filtered_and_masked_copies_do() {
    let fixture = shared();
    let queries = queries(from_environment("LAKEWARD_TEST_QUERIES").unwrap_or(DEFAULT_QUERIES));
    let judged = queries.iter().map(async |(layout, query)| {
        let governed = engine_outcome(&fixture, query, layout.governed()).await;
        let copies = engine_outcome(&fixture, query, layout.copies()).await;
        let told = difference(&governed, &copies, query.ordered);
        let told = told.map(|told| format!("{told}\n  {} {:?}", query.over(layout.governed()), query.parameters));
        (told, matches!(copies, Outcome::Rows { rows, .. } if !rows.is_empty()))
    });
    let judged = fixture.runtime.block_on(stream::iter(judged).buffered(CONCURRENCY).collect::<Vec<_>>());
    let told = judged.iter().filter_map(|(told, _)| told.as_deref()).collect::<Vec<_>>();
    assert!(told.is_empty(), "seed {}: {} queries tell something:\n{}", seed(), told.len(), told.join("\n"));
    let with_rows = judged.iter().filter(|(_, has_rows)| *has_rows);
    assert!(with_rows.count() * 2 > judged.len(), "most queries answer rows, else they compare nothing");
}

#[test]
fn an_inlined_policy_is_found_out() {
    let fixture = shared();
    let queries = queries(30);
    let told = fixture.runtime.block_on(async {
        let inlined = [Inlined::new(&fixture, Layout::Files).await, Inlined::new(&fixture, Layout::Partitions).await];
        let mut told = Vec::new();
        for ((layout, query), inlined) in queries.iter().zip(inlined.iter().cycle()) {
            let governed = inlined.run(&query.over(layout.governed()), &query.parameters).await;
            let copies = inlined.run(&query.over(layout.copies()), &query.parameters).await;
            let (governed, copies) = (Outcome::of(governed, control::kind), Outcome::of(copies, control::kind));
            told.extend(difference(&governed, &copies, query.ordered).map(|told| (*layout, told)));
        }
        told
    });
    for layout in Layout::ALL {
        let found = told.iter().any(|(of, told)| *of == layout && told == "fails with data on governed tables only");
        assert!(found, "{layout:?}: the inlined policy leaks, and the test does not see it: {told:?}");
    }
}

#[test]
fn every_leaky_expression_fails_for_who_sees_all() {
    let fixture = shared();
    let mut generator = Generator::new(seed());
    let mut idle = Vec::new();
    for (table, template) in
        [&PATIENTS, &VISITS].into_iter().flat_map(|table| table.leaky.iter().map(move |leaky| (table, leaky)))
    {
        let leaky = generator.expanded(template, table.alias);
        for layout in Layout::ALL {
            let of =
                |schema: &str| format!("SELECT count(*) FROM {schema}.{} {} WHERE {leaky}", table.name, table.alias);
            let all = fixture.runtime.block_on(fixture.as_admin(&of(layout.governed())));
            let visible = fixture.runtime.block_on(fixture.as_analyst(&of(layout.copies()), &[]));
            if all.is_ok() || visible.is_err() {
                idle.push(format!("{layout:?}: {leaky}"));
            }
        }
    }
    assert!(idle.is_empty(), "these do not fail on hidden rows, or do on visible ones: {idle:#?}");
}

/// A filter that one aggregate lends to the scan must not take rows from another.
#[test]
fn aggregates_answer_together_what_they_answer_alone() {
    let fixture = shared();
    let rows = |items: &str, schema: &str| {
        let sql = format!("SELECT {items} FROM {schema}.patients p");
        match Outcome::of(fixture.runtime.block_on(fixture.as_analyst(&sql, &[])), |error| error.to_string()) {
            Outcome::Rows { rows, .. } => rows.concat(),
            Outcome::Failed(error) => panic!("{error}: {sql}"),
        }
    };
    for schema in Layout::ALL.iter().flat_map(|layout| [layout.governed(), layout.copies()]) {
        for (first, second) in [
            ("min(p.patient_id)", "max(CAST(p.born AS DATE))"),
            ("max(p.patient_id)", "min(p.age + p.hospital_id)"),
            ("min(p.fee)", "max(p.score * 2)"),
        ] {
            let alone = [rows(first, schema), rows(second, schema)].concat();
            assert_eq!(rows(&format!("{first}, {second}"), schema), alone, "{schema}: {first}, {second}");
        }
    }
}

/// The data files that a query reads.
fn read(fixture: &Fixture, sql: &str) -> BTreeSet<String> {
    fixture.lake.take_read();
    fixture.runtime.block_on(fixture.as_analyst(sql, &[])).unwrap();
    fixture.lake.take_read()
}

#[test]
fn predicates_on_unmasked_columns_and_the_policy_prune_files() {
    let fixture = Fixture::open();
    assert_eq!(read(&fixture, "SELECT * FROM governed_files.patients").len(), 4);
    let narrow = "SELECT * FROM governed_files.patients WHERE patient_id BETWEEN 110 AND 190";
    assert_eq!(read(&fixture, narrow).len(), 1);
    assert_eq!(read(&fixture, &format!("{narrow} AND CAST(mrn AS BIGINT) > 0 AND zip LIKE '%7'")).len(), 1);
    let partitions = read(&fixture, "SELECT * FROM governed_parts.patients");
    assert_eq!(partitions.len(), 4, "{partitions:?}");
    assert!(partitions.iter().all(|file| file.contains("hospital_id=3") || file.contains("hospital_id=5")));
    assert_eq!(read(&fixture, "SELECT * FROM governed_parts.patients WHERE hospital_id = 5").len(), 2);
    assert_eq!(read(&fixture, "SELECT * FROM governed_parts.patients WHERE hospital_id = 1").len(), 0);
    // The two mapping tables are read once: their keys are kept while they stay as they are.
    assert_eq!(read(&fixture, "SELECT * FROM governed_files.visits").len(), 4 + 2);
    let narrow = read(&fixture, "SELECT * FROM governed_files.visits WHERE visit_id BETWEEN 160 AND 290");
    assert_eq!(narrow.len(), 1, "{narrow:?}");
    assert_eq!(read(&fixture, "SELECT count(*) FROM governed_files.visits").len(), 4);
}

#[test]
fn predicates_on_masked_columns_read_the_same_files_whatever_they_hide() {
    let fixture = Fixture::open();
    // Some of these values stand in hidden rows, some are outside of what a file holds, and `A` below every raw zip.
    for predicate in [
        "code = -5",
        "code = 77",
        "code > 2000000000",
        "zip = 'A'",
        "zip = 'hidden-zip'",
        "ward = 'zz hidden'",
        "weight > 200",
    ] {
        let read = read(&fixture, &format!("SELECT count(*) FROM governed_files.patients WHERE {predicate}"));
        assert_eq!(read.len(), 4, "{predicate}");
    }
    fixture.lake.take_read();
    fixture.runtime.block_on(fixture.as_admin("SELECT count(*) FROM governed_files.patients WHERE code = -5")).unwrap();
    assert!(fixture.lake.take_read().is_empty(), "for who sees all, the raw column's statistics do prune");
}
