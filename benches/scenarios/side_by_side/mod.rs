//! One statement through the engine and by hand, in one process: how long each takes, and a line that says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;
use futures::StreamExt;
use lakeward_engine::{Request, Response, Session, run};

/// A line of the table: medians in milliseconds (least–most), and their ratio.
pub fn report(title: &str, mut governed: Vec<Duration>, mut by_hand: Vec<Duration>) {
    governed.sort_unstable();
    by_hand.sort_unstable();
    let ms = |times: &[Duration], at: usize| times[at].as_secs_f64() * 1e3;
    let middle = governed.len() / 2;
    let shown = |times: &[Duration]| {
        format!("{:.1} ({:.1}–{:.1})", ms(times, middle), ms(times, 0), ms(times, times.len() - 1))
    };
    let ratio = ms(&governed, middle) / ms(&by_hand, middle);
    println!("| {title} | {} | {} | {ratio:.2} |", shown(&governed), shown(&by_hand));
}

/// As the server runs it: how long all rows took, and how many there were.
pub async fn through_engine(session: &Arc<Session>, sql: &str) -> (Duration, usize) {
    let begun = Instant::now();
    let Response::Rows(mut rows) = run(session, Request::text(sql)).await.unwrap() else { panic!("no rows") };
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        count += batch.unwrap().num_rows();
    }
    (begun.elapsed(), count)
}

/// As DataFusion alone runs it.
pub async fn through_datafusion(context: &SessionContext, sql: &str) -> (Duration, usize) {
    let begun = Instant::now();
    let mut rows = context.sql(sql).await.unwrap().execute_stream().await.unwrap();
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        count += batch.unwrap().num_rows();
    }
    (begun.elapsed(), count)
}
