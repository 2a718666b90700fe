//! `tests/slt/compatibility`: what PostgreSQL 15 answers to each statement, and whether Lakeward answers the same.
//!
//! The expectations in those scripts are never written by hand: the scripts are made again here, from their statements
//! and from what a PostgreSQL of the test's own and a Lakeward of the test's own answer, and must come out as they are.
//! `LAKEWARD_TEST_ORACLE=write` writes them, and the figures of `docs/compatibility.md`; new statements go into a script
//! under `statement ok`. Invariant: where Lakeward answers otherwise, the answer is `0A000` or `42883` to what PostgreSQL
//! takes, or the statement stands under a comment that begins with `Differs:` and says how.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::harness::Postgres;
use crate::slt::{cell, serve_in_the_clear};

/// What a server answered.
#[derive(PartialEq, Clone)]
enum Answer {
    Done,
    Rows { names: Vec<String>, rows: Vec<Vec<String>> },
    Failed { sqlstate: String, message: String },
}

impl Answer {
    async fn of(client: &Client, sql: &str) -> Self {
        let messages = match client.simple_query(sql).await {
            Ok(messages) => messages,
            Err(error) => {
                let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}\n{error}"));
                let message = error.message().lines().next().unwrap_or_default().to_owned();
                return Self::Failed { sqlstate: error.code().code().to_owned(), message };
            }
        };
        let (mut names, mut rows) = (None, Vec::new());
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    names = Some(columns.iter().map(|column| column.name().to_owned()).collect());
                }
                SimpleQueryMessage::Row(row) => rows.push((0..row.len()).map(|index| cell(row.get(index))).collect()),
                _ => {}
            }
        }
        match names {
            Some(names) => Self::Rows { names, rows },
            None => Self::Done,
        }
    }

    /// Rows without an order, in one.
    fn sorted(mut self, sql: &str) -> Self {
        if let Self::Rows { rows, .. } = &mut self
            && !is_ordered(sql)
        {
            rows.sort();
        }
        self
    }

    /// A record of a script.
    fn record(&self, sql: &str, exact: bool) -> String {
        match self {
            Self::Done => format!("statement ok\n{sql}\n"),
            Self::Failed { sqlstate, message } if exact => {
                format!("statement error ^{}$\n{sql}\n", escaped(&format!("{sqlstate}: {message}")))
            }
            Self::Failed { sqlstate, .. } => format!("statement error ({sqlstate})\n{sql}\n"),
            Self::Rows { names, rows } => {
                let sort = if is_ordered(sql) || rows.len() < 2 { "" } else { " rowsort" };
                let mut record = format!("query {}{sort}\n{sql}\n----\n", "T".repeat(names.len().max(1)));
                for row in rows {
                    let _ = writeln!(record, "{}", row.join(" "));
                }
                record
            }
        }
    }
}

fn is_ordered(sql: &str) -> bool {
    sql.contains("ORDER BY")
}

fn escaped(text: &str) -> String {
    let special = |c: char| "\\.+*?()|[]{}^$#&-~".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// A statement of a script, with the comments above it.
struct Statement {
    comments: String,
    sql: String,
}

fn statements(script: &str) -> Vec<Statement> {
    let mut found: Vec<Statement> = Vec::new();
    for block in script.split("\n\n") {
        let (mut comments, mut sql) = (String::new(), Vec::new());
        for line in block.lines().skip_while(|line| line.is_empty()) {
            let is_directive = ["statement ", "query ", "skipif ", "onlyif "].iter().any(|word| line.starts_with(word));
            if line == "----" {
                break;
            } else if line.starts_with('#') && sql.is_empty() {
                let _ = writeln!(comments, "{line}");
            } else if !(is_directive && sql.is_empty()) {
                sql.push(line);
            }
        }
        let sql = sql.join("\n");
        // A statement with two answers stands there twice.
        let is_new = !sql.is_empty() && found.last().is_none_or(|last| last.sql != sql);
        if is_new || !comments.is_empty() {
            found.push(Statement { comments, sql });
        }
    }
    found
}

/// How two answers compare.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Verdict {
    Equal,
    Refused,
    Differs,
}

fn verdict(postgres: &Answer, lakeward: &Answer) -> Verdict {
    match (postgres, lakeward) {
        (Answer::Failed { sqlstate: left, .. }, Answer::Failed { sqlstate: right, .. }) => {
            if left == right {
                Verdict::Equal
            } else {
                Verdict::Differs
            }
        }
        (_, Answer::Failed { sqlstate, .. }) if sqlstate == "0A000" || sqlstate == "42883" => Verdict::Refused,
        _ if postgres == lakeward => Verdict::Equal,
        _ => Verdict::Differs,
    }
}

/// The scripts' two servers.
struct Servers {
    postgres: Client,
    lakeward: Client,
}

impl Servers {
    /// A script made again, with its figures; `Err` names the statements that differ without saying so.
    async fn made_again(&self, script: &str) -> Result<(String, BTreeMap<Verdict, usize>), String> {
        let (mut out, mut figures, mut wrong) = (Vec::new(), BTreeMap::new(), String::new());
        for Statement { comments, sql } in statements(script) {
            if sql.is_empty() {
                out.push(comments);
                continue;
            }
            let postgres = Answer::of(&self.postgres, &sql).await.sorted(&sql);
            let lakeward = Answer::of(&self.lakeward, &sql).await.sorted(&sql);
            if postgres == Answer::Done && lakeward == Answer::Done {
                out.push(format!("{comments}{}", postgres.record(&sql, true)));
                continue;
            }
            let verdict = verdict(&postgres, &lakeward);
            *figures.entry(verdict).or_default() += 1;
            let says_so = comments.lines().any(|line| line.starts_with("# Differs:"));
            let broken = matches!(&lakeward, Answer::Failed { sqlstate, .. } if sqlstate.starts_with("XX"));
            if broken || says_so != (verdict == Verdict::Differs) {
                let _ = writeln!(
                    wrong,
                    "{sql}\nPostgreSQL: {}\nLakeward: {}",
                    postgres.record("", true),
                    lakeward.record("", true)
                );
            }
            if verdict == Verdict::Equal {
                out.push(format!("{comments}{}", postgres.record(&sql, postgres == lakeward)));
            } else {
                out.push(format!("{comments}skipif lakeward\n{}", postgres.record(&sql, true)));
                out.push(format!("onlyif lakeward\n{}", lakeward.record(&sql, false)));
            }
        }
        if wrong.is_empty() { Ok((out.join("\n"), figures)) } else { Err(wrong) }
    }
}

/// The lines of the table in `docs/compatibility.md`.
fn table(figures: &BTreeMap<String, BTreeMap<Verdict, usize>>) -> String {
    let mut table = "| Subject | Equal | Refused | Different |\n|---|---|---|---|\n".to_owned();
    let mut sums = [0; 3];
    for (subject, counts) in figures {
        let columns = [Verdict::Equal, Verdict::Refused, Verdict::Differs]
            .map(|verdict| counts.get(&verdict).copied().unwrap_or(0));
        let _ = writeln!(table, "| {subject} | {} | {} | {} |", columns[0], columns[1], columns[2]);
        sums.iter_mut().zip(columns).for_each(|(sum, column)| *sum += column);
    }
    let _ = writeln!(table, "| all | {} | {} | {} |", sums[0], sums[1], sums[2]);
    table
}

fn with_table(page: &str, table: &str) -> String {
    const MARKS: (&str, &str) = ("<!-- figures -->\n", "<!-- end of figures -->");
    let (before, rest) = page.split_once(MARKS.0).expect("the page says where its figures begin");
    let (_, after) = rest.split_once(MARKS.1).expect("the page says where its figures end");
    format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1)
}

async fn lakeward(port: u16) -> Client {
    let url = format!("host=127.0.0.1 port={port} user=admin password=slt dbname=lakeward");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Drops what a script has made, so that the next can make it.
async fn clear(servers: &Servers, script: &str) {
    let made =
        script.lines().filter_map(|line| line.strip_prefix("CREATE TABLE ")).filter_map(|rest| rest.split(' ').next());
    for table in made {
        let drop = format!("DROP TABLE {table}");
        servers.postgres.batch_execute(&drop).await.unwrap();
        servers.lakeward.batch_execute(&drop).await.unwrap();
    }
}

#[test]
fn answers_are_postgresqls_or_refused() {
    let writes = std::env::var("LAKEWARD_TEST_ORACLE").is_ok_and(|mode| mode == "write");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut scripts: Vec<PathBuf> =
        std::fs::read_dir(root.join("slt/compatibility")).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let server = serve_in_the_clear(&directory.path().join("data"));
    let oracle = Postgres::start();
    let (mut figures, mut stale, mut wrong) = (BTreeMap::new(), Vec::new(), Vec::new());
    runtime.block_on(async {
        let servers = Servers { postgres: oracle.connect().await, lakeward: lakeward(server.port("pg")).await };
        for script in &scripts {
            let text = std::fs::read_to_string(script).unwrap();
            match servers.made_again(&text).await {
                Ok((again, counts)) => {
                    figures.insert(script.file_stem().unwrap().to_string_lossy().into_owned(), counts);
                    if writes {
                        std::fs::write(script, &again).unwrap();
                    } else if again != text {
                        stale.push(script.display().to_string());
                    }
                }
                Err(differing) => wrong.push(format!("{}\n{differing}", script.display())),
            }
            clear(&servers, &text).await;
        }
    });
    assert!(wrong.is_empty(), "Lakeward differs and no comment says so, or the other way round:\n{}", wrong.join("\n"));
    let page = root.join("../docs/compatibility.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let again = with_table(&text, &table(&figures));
    if writes {
        std::fs::write(&page, again).unwrap();
    } else if again != text {
        stale.push(page.display().to_string());
    }
    assert!(stale.is_empty(), "LAKEWARD_TEST_ORACLE=write makes these again: {}", stale.join(", "));
}
