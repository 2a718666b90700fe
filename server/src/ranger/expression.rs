//! Hive's expressions in Lakeward's SQL: filters, and masks of one's own.
//!
//! Only what means the same in both is taken; an expression is never passed on as it was written. Invariant: what comes
//! out is one expression, of the forms that stand here by name.

use sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
    SelectItem, SetExpr, TableFactor, UnaryOperator, Value,
};
use sqlparser::dialect::SparkSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::name::{literal, quoted};

/// Stands for `{col}` until it is written: no name that a column could have.
const VALUE: &str = "__lakeward_value__";

/// Functions that mean the same in both, by name and number of arguments.
const SAME: &[(&str, std::ops::RangeInclusive<usize>)] = &[
    ("lower", 1..=1),
    ("upper", 1..=1),
    ("trim", 1..=1),
    ("ltrim", 1..=1),
    ("rtrim", 1..=1),
    ("length", 1..=1),
    ("reverse", 1..=1),
    ("coalesce", 1..=9),
    ("nullif", 2..=2),
    ("abs", 1..=1),
    ("lpad", 3..=3),
    ("rpad", 3..=3),
];

/// What an expression came to.
pub struct Written {
    /// In Lakeward's SQL.
    pub sql: String,
    /// It reads other tables.
    pub has_subquery: bool,
}

/// Which schema a database of Hive's is.
pub type Schemas<'a> = &'a dyn Fn(&str) -> String;

/// A filter over a row.
///
/// # Errors
/// What in it has no counterpart, in words.
pub fn filter(text: &str, schemas: Schemas<'_>) -> Result<Written, String> {
    Writer { schemas, is_mask: false, has_subquery: false }.whole(text)
}

/// A mask's expression over `{col}`, which becomes `val`.
///
/// # Errors
/// What in it has no counterpart, in words.
pub fn mask(text: &str) -> Result<String, String> {
    let text = text.replace("{col}", &format!(" {VALUE} "));
    let written = Writer { schemas: &str::to_owned, is_mask: true, has_subquery: false }.whole(&text)?;
    Ok(written.sql)
}

struct Writer<'a> {
    schemas: Schemas<'a>,
    is_mask: bool,
    has_subquery: bool,
}

type Text = Result<String, String>;

impl Writer<'_> {
    fn whole(mut self, text: &str) -> Result<Written, String> {
        let unreadable = |_| "it cannot be read".to_owned();
        let dialect = SparkSqlDialect {};
        let mut parser = Parser::new(&dialect).try_with_sql(text).map_err(unreadable)?;
        let expr = parser.parse_expr().map_err(unreadable)?;
        if parser.peek_token().token != Token::EOF {
            return Err("it is not one expression".to_owned());
        }
        let sql = self.expr(&expr)?;
        Ok(Written { sql, has_subquery: self.has_subquery })
    }

    fn expr(&mut self, expr: &Expr) -> Text {
        Ok(match expr {
            Expr::Identifier(name) => self.column(std::slice::from_ref(name))?,
            Expr::CompoundIdentifier(parts) => self.column(parts)?,
            Expr::Value(value) => constant(&value.value)?,
            Expr::Nested(inner) => format!("({})", self.expr(inner)?),
            Expr::BinaryOp { left, op, right } => {
                format!("({} {} {})", self.expr(left)?, operator(op)?, self.expr(right)?)
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("(NOT {})", self.expr(expr)?),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("(- {})", self.expr(expr)?),
            Expr::IsNull(inner) => format!("({} IS NULL)", self.expr(inner)?),
            Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", self.expr(inner)?),
            Expr::IsTrue(inner) => format!("({} IS TRUE)", self.expr(inner)?),
            Expr::IsNotTrue(inner) => format!("({} IS NOT TRUE)", self.expr(inner)?),
            Expr::IsFalse(inner) => format!("({} IS FALSE)", self.expr(inner)?),
            Expr::IsNotFalse(inner) => format!("({} IS NOT FALSE)", self.expr(inner)?),
            Expr::InList { expr, list, negated } => {
                format!("({} {}IN ({}))", self.expr(expr)?, not(*negated), self.list(list)?)
            }
            Expr::Between { expr, negated, low, high } => {
                let (expr, low, high) = (self.expr(expr)?, self.expr(low)?, self.expr(high)?);
                format!("({expr} {}BETWEEN {low} AND {high})", not(*negated))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                format!("({} {}LIKE {})", self.expr(expr)?, not(*negated), self.expr(pattern)?)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())?
            }
            Expr::Cast { kind: ast::CastKind::Cast, expr, data_type, array: false, format: None } => {
                format!("CAST({} AS {})", self.expr(expr)?, type_name(data_type)?)
            }
            Expr::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                self.substring(expr, from, substring_for.as_deref())?
            }
            Expr::Trim { trim_where: None, trim_what: None, expr, trim_characters: None } => {
                format!("trim({})", self.expr(expr)?)
            }
            Expr::Function(function) => self.function(function)?,
            Expr::InSubquery { expr, subquery, negated } => {
                format!("({} {}IN ({}))", self.expr(expr)?, not(*negated), self.query(subquery)?)
            }
            Expr::Exists { subquery, negated } => format!("({}EXISTS ({}))", not(*negated), self.query(subquery)?),
            _ => return Err("a form of expression that has no counterpart".to_owned()),
        })
    }

    fn list(&mut self, list: &[Expr]) -> Text {
        Ok(list.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>, _>>()?.join(", "))
    }

    fn column(&self, parts: &[Ident]) -> Text {
        if self.is_mask {
            return match parts {
                [only] if only.value == VALUE => Ok("val".to_owned()),
                _ => Err("it reads other columns than its own".to_owned()),
            };
        }
        let names: Vec<String> = parts.iter().map(|part| part.value.to_lowercase()).collect();
        match names.as_slice() {
            [only] if only == "current_user" => Ok("current_user".to_owned()),
            [name] => Ok(quoted(name)),
            [table, name] => Ok(format!("{}.{}", quoted(table), quoted(name))),
            _ => Err("a name of three parts".to_owned()),
        }
    }

    fn case(&mut self, operand: Option<&Expr>, conditions: &[ast::CaseWhen], otherwise: Option<&Expr>) -> Text {
        let mut text = String::from("CASE");
        if let Some(operand) = operand {
            text.push_str(&format!(" {}", self.expr(operand)?));
        }
        for ast::CaseWhen { condition, result } in conditions {
            text.push_str(&format!(" WHEN {} THEN {}", self.expr(condition)?, self.expr(result)?));
        }
        if let Some(otherwise) = otherwise {
            text.push_str(&format!(" ELSE {}", self.expr(otherwise)?));
        }
        Ok(text + " END")
    }

    /// From the end, where Hive counts from there.
    fn substring(&mut self, text: &Expr, from: &Expr, count: Option<&Expr>) -> Text {
        let text = self.expr(text)?;
        let count = count.map(|count| whole_number(count).ok_or("a length that is computed")).transpose()?;
        match (whole_number(from), count) {
            (Some(from), None) if from > 0 => Ok(format!("substr({text}, {from})")),
            (Some(from), Some(count)) if from > 0 && count >= 0 => Ok(format!("substr({text}, {from}, {count})")),
            (Some(from), None) if from < 0 => Ok(format!("right({text}, {})", from.unsigned_abs())),
            _ => Err("a substring with a place that is computed".to_owned()),
        }
    }

    fn function(&mut self, function: &ast::Function) -> Text {
        let plain = function.filter.is_none()
            && function.null_treatment.is_none()
            && function.over.is_none()
            && function.within_group.is_empty()
            && !function.uses_odbc_syntax
            && matches!(function.parameters, FunctionArguments::None);
        let name = function.name.to_string().to_lowercase();
        let unknown = || format!("the function {name}");
        if !plain {
            return Err(unknown());
        }
        let arguments = arguments(&function.args).ok_or_else(unknown)?;
        if name == "substr" || name == "substring" {
            return match arguments.as_slice() {
                [text, from] => self.substring(text, from, None),
                [text, from, count] => self.substring(text, from, Some(count)),
                _ => Err(unknown()),
            };
        }
        if let Some(masked) = self.mask_function(&name, &arguments)? {
            return Ok(masked);
        }
        let written = arguments.iter().map(|argument| self.expr(argument)).collect::<Result<Vec<_>, _>>()?;
        match (name.as_str(), written.as_slice()) {
            ("current_user", []) => Ok("current_user".to_owned()),
            ("current_date", []) => Ok("current_date".to_owned()),
            ("nvl", [_, _]) => Ok(format!("coalesce({})", written.join(", "))),
            // NULL where one is NULL, as in Hive.
            ("concat", [_, _, ..]) => Ok(format!("({})", written.join(" || "))),
            ("if", [condition, then, otherwise]) => {
                Ok(format!("CASE WHEN {condition} THEN {then} ELSE {otherwise} END"))
            }
            _ if SAME.iter().any(|(same, count)| *same == name && count.contains(&written.len())) => {
                Ok(format!("{name}({})", written.join(", ")))
            }
            _ => Err(unknown()),
        }
    }

    /// Hive's own masks; with characters of one's own they have no counterpart.
    fn mask_function(&mut self, name: &str, arguments: &[&Expr]) -> Result<Option<String>, String> {
        if !self.is_mask {
            return Ok(None);
        }
        let count = arguments.get(1).map_or(Some(4), |count| whole_number(count)).filter(|count| *count >= 0);
        let (Some(value), Some(count)) = (arguments.first(), count) else { return Ok(None) };
        let made = match (name, arguments.len()) {
            ("mask", 1) => format!("mask_alphanum({})", self.expr(value)?),
            ("mask_show_last_n", 1 | 2) => format!("mask_show_last({}, {count})", self.expr(value)?),
            ("mask_show_first_n", 1 | 2) => format!("mask_show_first({}, {count})", self.expr(value)?),
            ("mask_hash", 1) => format!("mask_hash({}, 'ranger')", self.expr(value)?),
            _ => return Ok(None),
        };
        Ok(Some(made))
    }

    /// One table, or none of its rows; whatever else queries have is not taken.
    fn query(&mut self, query: &Query) -> Text {
        let unknown = || "a subquery that is more than SELECT … FROM … WHERE …".to_owned();
        self.has_subquery = true;
        if self.is_mask {
            return Err("a subquery in a mask".to_owned());
        }
        let SetExpr::Select(select) = query.body.as_ref() else { return Err(unknown()) };
        // Written anew, it must be what it was: so that nothing is left out.
        let [SelectItem::UnnamedExpr(item)] = select.projection.as_slice() else { return Err(unknown()) };
        let [from] = select.from.as_slice() else { return Err(unknown()) };
        let TableFactor::Table { name, alias, args: None, .. } = &from.relation else { return Err(unknown()) };
        let mut bare = String::from("SELECT ");
        bare.push_str(&format!("{item} FROM {}", from.relation));
        if let Some(condition) = &select.selection {
            bare.push_str(&format!(" WHERE {condition}"));
        }
        let plain_alias = alias.as_ref().is_none_or(|alias| alias.columns.is_empty());
        let mut table = name.to_string();
        if let Some(alias) = alias {
            table.push_str(&format!(" {alias}"));
        }
        let plain_table =
            from.relation.to_string() == table || from.relation.to_string() == table.replacen(' ', " AS ", 1);
        if bare != query.to_string() || !plain_alias || !plain_table {
            return Err(unknown());
        }
        let mut written = format!("SELECT {} FROM {}", self.expr(item)?, self.table(name)?);
        if let Some(alias) = alias {
            written.push_str(&format!(" AS {}", quoted(&alias.name.value.to_lowercase())));
        }
        if let Some(condition) = &select.selection {
            written.push_str(&format!(" WHERE {}", self.expr(condition)?));
        }
        Ok(written)
    }

    fn table(&self, name: &ObjectName) -> Text {
        let parts: Option<Vec<String>> =
            name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.to_lowercase())).collect();
        match parts.unwrap_or_default().as_slice() {
            [table] => Ok(quoted(table)),
            [database, table] => Ok(format!("{}.{}", quoted(&(self.schemas)(database)), quoted(table))),
            _ => Err("a name of three parts".to_owned()),
        }
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn constant(value: &Value) -> Text {
    match value {
        Value::Number(number, false) if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            Ok(number.to_string())
        }
        Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Ok(literal(text)),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Null => Ok("NULL".to_owned()),
        _ => Err("a constant of this kind".to_owned()),
    }
}

fn operator(operator: &BinaryOperator) -> Result<&'static str, String> {
    Ok(match operator {
        BinaryOperator::And => "AND",
        BinaryOperator::Or => "OR",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::Spaceship => "IS NOT DISTINCT FROM",
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::StringConcat => "||",
        // Integers are divided otherwise, and patterns of Java's are others.
        other => return Err(format!("the operator {other}")),
    })
}

fn type_name(data_type: &DataType) -> Text {
    let name = data_type.to_string().to_lowercase();
    Ok(match name.as_str() {
        "string" => "text",
        "int" | "integer" => "int",
        "smallint" => "smallint",
        "bigint" => "bigint",
        "boolean" => "boolean",
        "double" => "double precision",
        "float" => "real",
        "date" => "date",
        "timestamp" => "timestamp",
        _ => return Err(format!("the type {name}")),
    }
    .to_owned())
}

fn whole_number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, false) => number.to_string().parse().ok(),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => whole_number(expr).map(|number: i64| -number),
        Expr::Nested(inner) => whole_number(inner),
        _ => None,
    }
}

fn arguments(arguments: &FunctionArguments) -> Option<Vec<&Expr>> {
    match arguments {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
            let expr = |argument| match argument {
                &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
                _ => None,
            };
            list.args.iter().map(expr).collect()
        }
        FunctionArguments::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{filter, mask};

    fn filtered(text: &str) -> Result<String, String> {
        filter(text, &|database| if database == "default" { "public".to_owned() } else { database.to_owned() })
            .map(|written| written.sql)
    }

    #[test]
    fn filters_mean_what_they_meant() {
        for (hive, expected) in [
            ("hospital_id = 3 and `Ward` == \"n'orth\"", "((hospital_id = 3) AND (ward = 'n''orth'))"),
            ("clinician = current_user()", "(clinician = current_user)"),
            ("NOT (a <=> NULL) OR b IN (1, -2)", "((NOT ((a IS NOT DISTINCT FROM NULL))) OR (b IN (1, (- 2))))"),
            (
                "patient_id in (select patient_id from default.care_team c where c.clinician = current_user())",
                "(patient_id IN (SELECT patient_id FROM \"public\".care_team AS c WHERE (c.clinician = current_user)))",
            ),
            ("nvl(a, 'x') like 'x%'", "(coalesce(a, 'x') LIKE 'x%')"),
            ("d >= cast('2020-01-01' as date)", "(d >= CAST('2020-01-01' AS date))"),
        ] {
            assert_eq!(filtered(hive).as_deref(), Ok(expected), "{hive}");
        }
    }

    #[test]
    fn what_has_no_counterpart_is_refused() {
        for hive in [
            "a = 1; DROP TABLE t",
            "a rlike 'x'",
            "a / 2 = 1",
            "reflect('java.lang.System', 'exit', 0)",
            "a in (select b from t join u on t.a = u.a)",
            "a in (select b from t limit 1)",
            "a in (select distinct b from t)",
            "a = ${{USER.dept}}",
            "",
            "count(*) > 1",
        ] {
            assert!(filtered(hive).is_err(), "{hive}: {:?}", filtered(hive));
        }
    }

    #[test]
    fn masks_are_over_their_own_column() {
        for (hive, expected) in [
            ("mask({col})", "mask_alphanum(val)"),
            ("concat('xxx-', substr({col}, -4))", "('xxx-' || right(val, 4))"),
            ("mask_show_last_n({col}, 2)", "mask_show_last(val, 2)"),
            ("cast(null as string)", "CAST(NULL AS text)"),
            (
                "case when {col} is null then 'none' else 'some' end",
                "CASE WHEN (val IS NULL) THEN 'none' ELSE 'some' END",
            ),
        ] {
            assert_eq!(mask(hive).as_deref(), Ok(expected), "{hive}");
        }
        for hive in ["other_column", "mask({col}, 'x', 'x', 'x')", "(select max(a) from t)", "'a' 'b'"] {
            assert!(mask(hive).is_err(), "{hive}: {:?}", mask(hive));
        }
    }
}
