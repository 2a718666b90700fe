//! Random queries, the same for the same seed.
//!
//! Invariant: what a query answers depends on the visible rows only: orders that limits depend on are total, and no
//! expression fails on some visible rows (`vocabulary.rs`).

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::vocabulary::{FAILING, MISTAKEN, PAIRS, PATIENTS, VISITS, Vocabulary};

/// A query over tables of the schema `{s}`.
pub struct Query {
    text: String,
    /// The values of `$1`, `$2`, …
    pub parameters: Vec<i64>,
    /// Its rows come in a total order.
    pub ordered: bool,
    /// It is read through a cursor, so many rows at once.
    pub fetched: Option<usize>,
}

impl Query {
    /// Its text over the tables of `schema`.
    pub fn over(&self, schema: &str) -> String {
        self.text.replace("{s}", schema)
    }
}

/// Makes queries.
pub struct Generator {
    rng: StdRng,
    parameters: Vec<i64>,
    parameterised: bool,
}

/// A query's text, and whether its order is total.
type Made = (String, bool);

/// Shapes of queries. The first ones come more often.
const SHAPES: &[fn(&mut Generator) -> Made] = &[
    Generator::rows,
    Generator::rows,
    Generator::rows,
    Generator::aggregate,
    Generator::aggregate,
    Generator::grouped,
    Generator::grouped,
    Generator::join,
    Generator::join,
    Generator::semi_join,
    Generator::semi_join,
    Generator::top,
    Generator::joined_groups,
    Generator::lookup,
    Generator::self_join,
    Generator::scalar_subquery,
    Generator::common_table,
    Generator::set_operation,
    Generator::window,
    Generator::lateral,
    Generator::grouping_sets,
    Generator::distinct,
    Generator::limited,
    Generator::failing,
];

impl Generator {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), parameters: Vec::new(), parameterised: false }
    }

    /// The next query.
    pub fn query(&mut self) -> Query {
        self.parameters.clear();
        self.parameterised = self.rng.random_bool(0.25);
        let shape = SHAPES.choose(&mut self.rng).unwrap();
        let (text, ordered) = shape(self);
        let parameters = std::mem::take(&mut self.parameters);
        let by_cursor = parameters.is_empty() && self.rng.random_bool(0.2);
        let fetched = by_cursor.then(|| self.rng.random_range(1..=120));
        Query { text, parameters, ordered, fetched }
    }

    fn rows(&mut self) -> Made {
        let table = self.table();
        let (key, alias) = (table.key, table.alias);
        let (items, filter) = (self.items(&[table], 1..=4), self.filter(&[table]));
        let tail = match self.rng.random_range(0..4) {
            0 => String::new(),
            1 => format!(" ORDER BY {alias}.{key}"),
            2 => self.expanded(&format!(" ORDER BY {alias}.{key} [ASC|DESC] LIMIT [#1..60]"), alias),
            _ => self.expanded(&format!(" ORDER BY {alias}.{key} [ASC|DESC] LIMIT [#1..60] OFFSET [#0..40]"), alias),
        };
        (format!("SELECT {alias}.{key}, {items} FROM {{s}}.{} {alias}{filter}{tail}", table.name), !tail.is_empty())
    }

    /// The first by an expression that may itself be leaky.
    fn top(&mut self) -> Made {
        let table = self.table();
        let (value, filter) = (self.one(table.values, table.alias), self.filter(&[table]));
        let tail = format!("ORDER BY {value} [ASC|DESC] NULLS [FIRST|LAST], @.{} LIMIT [#1..20]", table.key);
        let tail = self.expanded(&tail, table.alias);
        let (name, alias, key) = (table.name, table.alias, table.key);
        (format!("SELECT {alias}.{key} FROM {{s}}.{name} {alias}{filter} {tail}"), true)
    }

    fn aggregate(&mut self) -> Made {
        let table = self.table();
        let filter = if self.rng.random_bool(0.3) { String::new() } else { self.filter(&[table]) };
        let aggregates = self.aggregates(table, 1..=4);
        (format!("SELECT {aggregates} FROM {{s}}.{} {}{filter}", table.name, table.alias), false)
    }

    fn grouped(&mut self) -> Made {
        let table = self.table();
        let (group, filter) = (self.one(table.groups, table.alias), self.filter(&[table]));
        let aggregates = self.aggregates(table, 1..=3);
        let (having, order) = (self.having(table), self.rng.random_bool(0.5));
        let order_by = if order { " ORDER BY 1" } else { "" };
        let from = format!("FROM {{s}}.{} {}", table.name, table.alias);
        (format!("SELECT {group} AS g, {aggregates} {from}{filter} GROUP BY 1{having}{order_by}"), order)
    }

    fn having(&mut self, table: &Vocabulary) -> String {
        match self.rng.random_range(0..3) {
            0 => String::new(),
            1 => self.expanded(" HAVING count(*) > [1..20]", table.alias),
            _ => self.expanded(&format!(" HAVING max(@.{}) > [1..400]", table.key), table.alias),
        }
    }

    fn join(&mut self) -> Made {
        let from = self.patients_and_visits();
        let (items, filter) = (self.items(&[&PATIENTS, &VISITS], 1..=4), self.filter(&[&PATIENTS, &VISITS]));
        let order = self.rng.random_bool(0.5);
        let limit = if self.rng.random_bool(0.5) { self.expanded(" LIMIT [#1..40]", "") } else { String::new() };
        let tail = if order { format!(" ORDER BY p.patient_id, v.visit_id{limit}") } else { String::new() };
        (format!("SELECT p.patient_id, v.visit_id, {items} {from}{filter}{tail}"), order)
    }

    /// Several groupings at once.
    fn grouping_sets(&mut self) -> Made {
        let table = self.table();
        let (first, second) = (self.one(table.groups, table.alias), self.one(table.groups, table.alias));
        let (aggregates, filter) = (self.aggregates(table, 1..=3), self.filter(&[table]));
        let sets = match self.rng.random_range(0..4) {
            0 => format!("ROLLUP ({first}, {second})"),
            1 => format!("CUBE ({first}, {second})"),
            2 => format!("GROUPING SETS (({first}, {second}), ({second}), ())"),
            _ => format!("GROUPING SETS (({first}), ({second}))"),
        };
        let from = format!("FROM {{s}}.{} {}", table.name, table.alias);
        (format!("SELECT {first} AS g, {second} AS h, {aggregates} {from}{filter} GROUP BY {sets}"), false)
    }

    /// What is read for each row of another table.
    fn lateral(&mut self) -> Made {
        let (inner, outer) = (self.predicate(&[&VISITS]), self.filter(&[&PATIENTS]));
        let join = *["CROSS JOIN LATERAL", "LEFT JOIN LATERAL", "JOIN LATERAL"].choose(&mut self.rng).unwrap();
        let on = if join.starts_with("CROSS") { "" } else { " ON TRUE" };
        let value = if self.rng.random_bool(0.5) {
            self.one(VISITS.aggregates, VISITS.alias)
        } else {
            self.one(VISITS.values, VISITS.alias)
        };
        let items = self.items(&[&PATIENTS], 1..=2);
        let each = format!("SELECT {value} AS x FROM {{s}}.visits v WHERE v.patient_id = p.patient_id AND {inner}");
        (format!("SELECT p.patient_id, {items}, e.x FROM {{s}}.patients p {join} ({each}) e{on}{outer}"), false)
    }

    fn joined_groups(&mut self) -> Made {
        let (from, filter) = (self.patients_and_visits(), self.filter(&[&PATIENTS, &VISITS]));
        let group = self.one(PATIENTS.groups, PATIENTS.alias);
        let (left, right) = (self.one(PATIENTS.aggregates, PATIENTS.alias), self.one(VISITS.aggregates, VISITS.alias));
        (format!("SELECT {group} AS g, {left} AS a, {right} AS b {from}{filter} GROUP BY 1"), false)
    }

    fn patients_and_visits(&mut self) -> String {
        let kind = *["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"].choose(&mut self.rng).unwrap();
        let on = match self.rng.random_range(0..4) {
            0 => "CAST(p.mrn AS BIGINT) - 100000 = v.patient_id".to_owned(),
            1 => format!("p.patient_id = v.patient_id AND {}", PAIRS.choose(&mut self.rng).unwrap()),
            2 => format!("p.patient_id = v.patient_id AND ({})", self.predicate(&[&PATIENTS, &VISITS])),
            _ => "p.patient_id = v.patient_id".to_owned(),
        };
        format!("FROM {{s}}.patients p {kind} {{s}}.visits v ON {on}")
    }

    fn lookup(&mut self) -> Made {
        let kind = *["JOIN", "LEFT JOIN"].choose(&mut self.rng).unwrap();
        let (items, filter) = (self.items(&[&PATIENTS], 1..=3), self.filter(&[&PATIENTS]));
        let from = format!("FROM {{s}}.patients p {kind} {{s}}.wards w ON p.hospital_id = w.hospital_id");
        (format!("SELECT p.patient_id, w.name, w.beds, {items} {from}{filter}"), false)
    }

    fn self_join(&mut self) -> Made {
        let same = self.one(&["status", "grade", "zip", "birth", "code", "age", "CAST(@.mrn AS BIGINT) % 50"], "");
        let side = |alias: &str| {
            if same.contains('(') { same.replace(".mrn", &format!("{alias}.mrn")) } else { format!("{alias}.{same}") }
        };
        let on = format!("{} = {} AND p.patient_id < q.patient_id", side("p"), side("q"));
        let filter = self.filter(&[&PATIENTS]);
        (
            format!(
                "SELECT count(*), min(q.mrn), max(p.zip) FROM {{s}}.patients p JOIN {{s}}.patients q ON {on}{filter}"
            ),
            false,
        )
    }

    fn semi_join(&mut self) -> Made {
        let (inner, outer) = (self.predicate(&[&VISITS]), self.filter(&[&PATIENTS]));
        let items = self.items(&[&PATIENTS], 1..=2);
        let negation = *["", "NOT "].choose(&mut self.rng).unwrap();
        let semi = match self.rng.random_range(0..3) {
            0 => format!(
                "p.patient_id {negation}IN (SELECT v.patient_id FROM {{s}}.visits v WHERE v.patient_id IS NOT NULL AND {inner})"
            ),
            1 => {
                format!("{negation}EXISTS (SELECT 1 FROM {{s}}.visits v WHERE v.patient_id = p.patient_id AND {inner})")
            }
            _ => format!(
                "p.mrn {negation}IN (SELECT CAST(v.patient_id + 100000 AS TEXT) FROM {{s}}.visits v WHERE v.patient_id IS NOT NULL AND {inner})"
            ),
        };
        let filter = if outer.is_empty() { format!(" WHERE {semi}") } else { format!("{outer} AND {semi}") };
        (format!("SELECT p.patient_id, {items} FROM {{s}}.patients p{filter}"), false)
    }

    fn scalar_subquery(&mut self) -> Made {
        let inner = self.predicate(&[&VISITS]);
        if self.rng.random_bool(0.5) {
            let items = self.items(&[&PATIENTS], 1..=2);
            let compared = self.one(
                &[
                    "p.age > (SELECT avg(v.minutes) - 100",
                    "p.patient_id < (SELECT max(v.visit_id) / 2",
                    "p.age <> (SELECT min(v.minutes)",
                ],
                "",
            );
            return (
                format!(
                    "SELECT p.patient_id, {items} FROM {{s}}.patients p WHERE {compared} FROM {{s}}.visits v WHERE {inner})"
                ),
                false,
            );
        }
        let aggregate = self.one(VISITS.aggregates, VISITS.alias);
        let filter = self.filter(&[&PATIENTS]);
        let subquery =
            format!("(SELECT {aggregate} FROM {{s}}.visits v WHERE v.patient_id = p.patient_id AND {inner})");
        (format!("SELECT p.patient_id, {subquery} AS a FROM {{s}}.patients p{filter} ORDER BY p.patient_id"), true)
    }

    fn common_table(&mut self) -> Made {
        let (inner, values) = (self.filter(&[&PATIENTS]), self.items(&[&PATIENTS], 1..=3));
        let with = format!(
            "WITH c AS (SELECT p.patient_id, p.hospital_id, p.age AS years, {values} FROM {{s}}.patients p{inner})"
        );
        let body = match self.rng.random_range(0..3) {
            0 => "SELECT hospital_id, count(*), min(c1), max(c1) FROM c GROUP BY hospital_id".to_owned(),
            1 => "SELECT a.patient_id, a.c1, b.c1 FROM c a JOIN c b ON a.patient_id = b.patient_id WHERE 1 / (a.years - 97) = 0".to_owned(),
            _ => {
                let filter = self.filter(&[&VISITS]);
                format!("SELECT c.patient_id, v.visit_id FROM c JOIN {{s}}.visits v ON c.patient_id = v.patient_id{filter}")
            }
        };
        (format!("{with} {body}"), false)
    }

    fn set_operation(&mut self) -> Made {
        let operator = *["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL", "INTERSECT ALL"]
            .choose(&mut self.rng)
            .unwrap();
        let left = self.filter(&[&PATIENTS]);
        let (right_table, right) = if self.rng.random_bool(0.5) {
            ("patients p", self.filter(&[&PATIENTS]))
        } else {
            ("visits v", self.filter(&[&VISITS]))
        };
        let columns = *["patient_id", "hospital_id", "patient_id, hospital_id"].choose(&mut self.rng).unwrap();
        (
            format!(
                "SELECT {columns} FROM {{s}}.patients p{left} {operator} SELECT {columns} FROM {{s}}.{right_table}{right}"
            ),
            false,
        )
    }

    fn window(&mut self) -> Made {
        let table = self.table();
        let (group, filter) = (self.one(table.groups, table.alias), self.filter(&[table]));
        let (alias, key) = (table.alias, table.key);
        let functions = [
            "row_number()",
            "rank()",
            "count(*)",
            "sum(@.hospital_id)",
            "min(@.#)",
            "max(@.#)",
            "lag(@.#, 1)",
            "ntile(3)",
        ];
        let function = self.one(&functions, alias).replace('#', key);
        let over = format!("OVER (PARTITION BY {group} ORDER BY {alias}.{key})");
        let value = self.one(table.values, alias);
        let whole = format!("min({value}) OVER (PARTITION BY {alias}.hospital_id)");
        (
            format!(
                "SELECT {alias}.{key}, {function} {over} AS a, {whole} AS b FROM {{s}}.{} {alias}{filter}",
                table.name
            ),
            false,
        )
    }

    fn distinct(&mut self) -> Made {
        let table = self.table();
        let (first, second) = (self.one(table.groups, table.alias), self.one(table.values, table.alias));
        let filter = self.filter(&[table]);
        (
            format!("SELECT DISTINCT {first} AS a, {second} AS b FROM {{s}}.{} {}{filter}", table.name, table.alias),
            false,
        )
    }

    /// A limit without an order: how many rows there are is all that it tells.
    fn limited(&mut self) -> Made {
        let table = self.table();
        let (value, filter) = (self.one(table.values, table.alias), self.filter(&[table]));
        let inner = format!("SELECT {value} AS c FROM {{s}}.{} {}{filter}", table.name, table.alias);
        let limit = self.expanded("LIMIT [#1..300]", "");
        (format!("SELECT count(*) FROM ({inner} {limit}) x"), false)
    }

    /// What fails on every row fails for everybody, in the same way; so does what cannot be planned.
    fn failing(&mut self) -> Made {
        let value = *FAILING.iter().chain(MISTAKEN).collect::<Vec<_>>().choose(&mut self.rng).unwrap();
        let filter = self.one(PATIENTS.plain, PATIENTS.alias);
        (format!("SELECT p.patient_id, {value} AS c FROM {{s}}.patients p WHERE {filter}"), false)
    }

    fn table(&mut self) -> &'static Vocabulary {
        if self.rng.random_bool(0.7) { &PATIENTS } else { &VISITS }
    }

    /// Some values, as `c1`, `c2`, ….
    fn items(&mut self, tables: &[&Vocabulary], count: std::ops::RangeInclusive<usize>) -> String {
        let count = self.rng.random_range(count);
        let item = |index: usize| {
            let table = *tables.choose(&mut self.rng).unwrap();
            format!("{} AS c{index}", self.one(table.values, table.alias))
        };
        (1..=count).map(item).collect::<Vec<_>>().join(", ")
    }

    fn aggregates(&mut self, table: &Vocabulary, count: std::ops::RangeInclusive<usize>) -> String {
        let count = self.rng.random_range(count);
        let item = |index: usize| format!("{} AS a{index}", self.one(table.aggregates, table.alias));
        (1..=count).map(item).collect::<Vec<_>>().join(", ")
    }

    /// A WHERE clause.
    fn filter(&mut self, tables: &[&Vocabulary]) -> String {
        format!(" WHERE {}", self.predicate(tables))
    }

    /// One to four predicates, joined; always of a form that `AND` can be put behind.
    fn predicate(&mut self, tables: &[&Vocabulary]) -> String {
        let mut predicate = self.atom(tables);
        for _ in 1..=self.rng.random_range(0..=3) {
            let (operator, next) = (*["AND", "AND", "OR"].choose(&mut self.rng).unwrap(), self.atom(tables));
            predicate = match self.rng.random_range(0..3) {
                0 => format!("({next} {operator} {predicate})"),
                1 => format!("({predicate} {operator} {next})"),
                _ => format!("(NOT ({predicate}) {operator} {next})"),
            };
        }
        predicate
    }

    fn atom(&mut self, tables: &[&Vocabulary]) -> String {
        if tables.len() > 1 && self.rng.random_bool(0.15) {
            return format!("({})", PAIRS.choose(&mut self.rng).unwrap());
        }
        let table = *tables.choose(&mut self.rng).unwrap();
        let templates = match self.rng.random_range(0..100) {
            0..40 => table.plain,
            40..60 => table.masked,
            _ => table.leaky,
        };
        format!("({})", self.one(templates, table.alias))
    }

    fn one(&mut self, templates: &[&str], alias: &str) -> String {
        let template = *templates.choose(&mut self.rng).unwrap();
        self.expanded(template, alias)
    }

    /// A template with its choices made.
    pub fn expanded(&mut self, template: &str, alias: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, (choice, after))) =
            rest.split_once('[').map(|(before, rest)| (before, rest.split_once(']').unwrap()))
        {
            text.push_str(before);
            text.push_str(&self.choice(choice));
            rest = after;
        }
        text.push_str(rest);
        text.replace('@', alias)
    }

    fn choice(&mut self, choice: &str) -> String {
        let Some((low, high)) = choice.split_once("..") else {
            return (*choice.split('|').collect::<Vec<_>>().choose(&mut self.rng).unwrap()).to_owned();
        };
        let digits = low.starts_with('#');
        let number = self.rng.random_range(low.trim_start_matches('#').parse::<i64>().unwrap()..=high.parse().unwrap());
        if digits || !self.parameterised || self.rng.random_bool(0.5) {
            return number.to_string();
        }
        self.parameters.push(number);
        format!("${}", self.parameters.len())
    }
}
