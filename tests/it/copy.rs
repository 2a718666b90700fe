//! COPY against a PostgreSQL 15: the same bytes out, the same rows and errors in; and governed like every other way.

mod governed;
mod into;
mod out;
mod peers;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::harness::{Lab, Postgres};

/// A PostgreSQL and a Lakeward with the same tables.
struct Both {
    postgres: Client,
    lakeward: Client,
    _server: Postgres,
    lab: Lab,
}

impl Both {
    async fn open(setup: &str) -> Self {
        let (server, lab) = (Postgres::start(), Lab::open("SELECT 1"));
        let (postgres, lakeward) = (server.connect().await, lab.connect("admin").await);
        postgres.batch_execute(setup).await.unwrap();
        lakeward.batch_execute(setup).await.unwrap();
        Self { postgres, lakeward, _server: server, lab }
    }
}

/// All of COPY's data, by the extended protocol.
async fn copied(client: &Client, sql: &str) -> Result<Vec<u8>, Error> {
    let stream = client.copy_out(sql).await?;
    let mut stream = std::pin::pin!(stream);
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// Sends data in pieces of so many bytes; answers how many rows there were.
async fn copy(client: &Client, sql: &str, data: &[u8], piece: usize) -> Result<u64, Error> {
    let sink = client.copy_in::<_, Bytes>(sql).await?;
    let mut sink = std::pin::pin!(sink);
    for piece in data.chunks(piece.max(1)) {
        sink.send(Bytes::copy_from_slice(piece)).await?;
    }
    sink.finish().await
}

async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap();
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect()),
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

fn told(error: &Error) -> &DbError {
    error.as_db_error().unwrap_or_else(|| panic!("{error:?}"))
}
