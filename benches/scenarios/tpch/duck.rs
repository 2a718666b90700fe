//! DuckDB over the same Parquet files, asked through Python.
//!
//! Its Delta extension is downloaded by DuckDB itself at run time, so its Parquet reader reads the files of the one
//! version that there is.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = r#"
import json, sys, time
import duckdb
connection = duckdb.connect()
connection.execute(f"SET threads = {sys.argv[1]}")
for name, location in json.loads(sys.argv[2]).items():
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{location}/*.parquet')")
print(duckdb.__version__, flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    rows = connection.execute(json.loads(line)).fetchall()
    print(len(rows), (time.perf_counter() - begun) * 1e3, flush=True)
"#;

/// A DuckDB that answers one query after the other. Killed when dropped.
pub struct Duck {
    child: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
    /// Its version.
    pub version: String,
}

impl Duck {
    /// Over tables by name and directory; `None` where `LAKEWARD_BENCH_PYTHON` does not name a Python with `duckdb`.
    pub fn start(tables: &[(&str, String)]) -> Option<Self> {
        let python = std::env::var_os("LAKEWARD_BENCH_PYTHON")?;
        let directories = tables.iter().map(|(name, location)| {
            let directory = location.trim_start_matches("file://").trim_end_matches('/');
            ((*name).to_owned(), serde_json::Value::from(directory))
        });
        let tables = serde_json::Value::Object(directories.collect()).to_string();
        let threads = std::thread::available_parallelism().unwrap().get().to_string();
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT, &threads, &tables]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (asked, told) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut duck = Self { child, asked, told, version: String::new() };
        duck.version = duck.line();
        Some(duck)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.told.read_line(&mut line).unwrap() > 0, "DuckDB answers");
        line.trim().to_owned()
    }

    /// Rows and milliseconds.
    pub fn ask(&mut self, sql: &str) -> (usize, f64) {
        writeln!(self.asked, "{}", serde_json::Value::from(sql)).unwrap();
        self.asked.flush().unwrap();
        let line = self.line();
        let (rows, time) = line.split_once(' ').unwrap();
        (rows.parse().unwrap(), time.parse().unwrap())
    }
}

impl Drop for Duck {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
