//! Limits of roles: settings that only superusers give, with ALTER ROLE … SET, and that no session lifts.
//!
//! They are read from the catalog at each statement. Invariant: they are the login role's; neither SET, SET ROLE nor a
//! client's options change them.

use lakeward_base::SqlState;
use lakeward_catalog::RoleLimits;

use crate::error::Error;
use crate::settings;

/// Statements that run at once.
pub(crate) const CONCURRENT_STATEMENTS: &str = "max_concurrent_statements";
/// Bytes of one result.
pub(crate) const RESULT_BYTES: &str = "max_result_bytes";
/// Rows of one result.
pub(crate) const RESULT_ROWS: &str = "max_result_rows";
/// Time of one statement.
pub(crate) const STATEMENT_TIME: &str = "max_statement_time";

/// Their names.
pub(crate) const NAMES: [&str; 4] = [CONCURRENT_STATEMENTS, RESULT_BYTES, RESULT_ROWS, STATEMENT_TIME];

/// Whether a setting is a limit, folded.
pub(crate) fn is_limit(name: &str) -> bool {
    NAMES.iter().any(|limit| limit.eq_ignore_ascii_case(name))
}

/// What is told to who tries to SET one.
pub(crate) fn cannot_be_set(name: &str) -> Error {
    Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, format!("parameter \"{name}\" cannot be changed"))
        .with_hint("It is a limit of the role's: superusers set it with ALTER ROLE … SET.")
}

/// Sets one; `None`, like 0, is no limit.
///
/// # Errors
/// 22023 for a value that it does not take.
pub(crate) fn put(limits: &mut RoleLimits, name: &str, value: Option<&str>) -> Result<(), Error> {
    let invalid = || {
        let message = format!("invalid value for parameter \"{name}\": \"{}\"", value.unwrap_or_default());
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
    };
    let number = |read: fn(&str) -> Option<u64>| match value {
        None => Ok(None),
        Some(text) => read(text.trim()).map(|number| Some(number).filter(|number| *number > 0)).ok_or_else(invalid),
    };
    match name {
        CONCURRENT_STATEMENTS => {
            let most = number(|text| text.parse().ok())?;
            limits.concurrent_statements = most.map(u32::try_from).transpose().map_err(|_| invalid())?;
        }
        RESULT_BYTES => limits.result_bytes = number(bytes)?,
        RESULT_ROWS => limits.result_rows = number(|text| text.parse().ok())?,
        STATEMENT_TIME => limits.statement_ms = number(settings::duration_ms)?,
        _ => return Err(invalid()),
    }
    Ok(())
}

/// What SHOW says of one; `None` where `name` is no limit.
pub(crate) fn shown(limits: &RoleLimits, name: &str) -> Option<String> {
    let value = match name.to_ascii_lowercase().as_str() {
        CONCURRENT_STATEMENTS => limits.concurrent_statements.map(u64::from),
        RESULT_BYTES => limits.result_bytes,
        RESULT_ROWS => limits.result_rows,
        STATEMENT_TIME => limits.statement_ms,
        _ => return None,
    };
    Some(value.unwrap_or_default().to_string())
}

/// Those that are set, as `name=value`.
pub(crate) fn listed(limits: &RoleLimits) -> impl Iterator<Item = String> {
    let set = NAMES.iter().map(|name| (name, shown(limits, name).unwrap_or_default()));
    set.filter(|(_, value)| value != "0").map(|(name, value)| format!("{name}={value}"))
}

/// Takes all of them away.
pub(crate) fn clear(limits: &mut RoleLimits) {
    *limits = RoleLimits { connections: limits.connections, ..RoleLimits::default() };
}

/// `1048576`, `1024kB`, `10MB`, `2GB`, in bytes: units as PostgreSQL's.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// What one statement may hand out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ResultLimit {
    rows: Option<u64>,
    bytes: Option<u64>,
}

impl ResultLimit {
    /// That of a role.
    pub(crate) fn of(limits: &RoleLimits) -> Self {
        Self { rows: limits.result_rows, bytes: limits.result_bytes }
    }

    /// Refuses a result that has grown to so much.
    ///
    /// # Errors
    /// 53400.
    pub(crate) fn check(&self, rows: u64, bytes: u64) -> Result<(), Error> {
        let exceeded = |what: &str, limit: u64, name: &str| {
            let message = format!("the result has more than {limit} {what}");
            Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
                .with_hint(format!("The role may receive no more of one statement: {name}. Ask for less, or in parts."))
        };
        match (self.rows, self.bytes) {
            (Some(most), _) if rows > most => Err(exceeded("rows", most, RESULT_ROWS)),
            (_, Some(most)) if bytes > most => Err(exceeded("bytes", most, RESULT_BYTES)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeward_base::Coded;

    #[test]
    fn values_have_units_and_zero_is_no_limit() {
        let mut limits = RoleLimits { connections: Some(3), ..RoleLimits::default() };
        for (name, value) in NAMES.iter().zip(["4", "10MB", "100", "2s"]) {
            put(&mut limits, name, Some(value)).unwrap();
        }
        assert_eq!(limits.result_bytes, Some(10 << 20));
        assert_eq!(limits.statement_ms, Some(2_000));
        let listed: Vec<_> = listed(&limits).collect();
        assert_eq!(
            listed,
            [
                "max_concurrent_statements=4",
                "max_result_bytes=10485760",
                "max_result_rows=100",
                "max_statement_time=2000"
            ]
        );
        put(&mut limits, RESULT_ROWS, Some("0")).unwrap();
        assert_eq!(limits.result_rows, None);
        for (name, value) in NAMES.iter().zip(["-1", "10 monkeys", "1.5", "soon"]) {
            let error = put(&mut limits, name, Some(value)).unwrap_err();
            assert_eq!(error.sqlstate(), SqlState::INVALID_PARAMETER_VALUE, "{name}");
        }
        assert!(put(&mut limits, CONCURRENT_STATEMENTS, Some("99999999999")).is_err());
        clear(&mut limits);
        assert_eq!(limits, RoleLimits { connections: Some(3), ..RoleLimits::default() });
    }

    #[test]
    fn a_result_may_be_as_large_as_its_limit() {
        let limit = ResultLimit { rows: Some(10), bytes: Some(100) };
        assert!(limit.check(10, 100).is_ok());
        assert!(limit.check(11, 1).unwrap_err().hint().unwrap().contains(RESULT_ROWS));
        assert!(limit.check(1, 101).unwrap_err().hint().unwrap().contains(RESULT_BYTES));
        assert!(ResultLimit::default().check(u64::MAX, u64::MAX).is_ok());
    }
}
