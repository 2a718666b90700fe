//! Tables of statements, by subject.

mod kinds;
mod shape;
mod soup;
mod text;

use lakeward_base::Coded;

use super::{Statement, parse};

fn refusal(sql: &str) -> (String, Option<usize>, String) {
    match parse(sql) {
        Ok(statement) => panic!("{sql} was accepted as {}", statement.class),
        Err(error) => (error.sqlstate().as_str().to_owned(), error.position(), error.message()),
    }
}

fn accepted(sql: &str) -> Statement {
    parse(sql).unwrap_or_else(|error| panic!("{sql}: {error} at {:?}", error.position()))
}
