//! What the server says of itself: GetSqlInfo.
//!
//! Invariant: only what is so; what a fact would have to be guessed for is left out.

use std::sync::OnceLock;

use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedElementActions,
    SqlSupportedGroupBy, SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use lakeward_engine::Error;

use crate::door::MAX_STATEMENT_BYTES;
use crate::prepared::IDLE_TIMEOUT;
use crate::status::internal;

/// Functions as JDBC's escape syntax names them, where they go by the same name here.
const NUMERIC_FUNCTIONS: [&str; 19] = [
    "ABS", "ACOS", "ASIN", "ATAN", "ATAN2", "COS", "COT", "DEGREES", "EXP", "FLOOR", "LOG10", "MOD", "PI", "POWER",
    "RADIANS", "ROUND", "SIN", "SQRT", "TAN",
];
const STRING_FUNCTIONS: [&str; 14] = [
    "ASCII",
    "CHAR_LENGTH",
    "CONCAT",
    "LEFT",
    "LENGTH",
    "LOWER",
    "LTRIM",
    "POSITION",
    "REPEAT",
    "REPLACE",
    "RIGHT",
    "RTRIM",
    "SUBSTRING",
    "UPPER",
];
const DATETIME_FUNCTIONS: [&str; 4] = ["CURRENT_DATE", "CURRENT_TIMESTAMP", "EXTRACT", "NOW"];

/// Everything that is said.
///
/// # Errors
/// XX000 where it cannot be built.
pub(crate) fn all() -> Result<&'static SqlInfoData, Error> {
    static INFO: OnceLock<Option<SqlInfoData>> = OnceLock::new();
    let build = || {
        let mut info = SqlInfoDataBuilder::new();
        server(&mut info);
        names(&mut info);
        language(&mut info);
        limits(&mut info);
        transactions(&mut info);
        info.build().ok()
    };
    INFO.get_or_init(build).as_ref().ok_or_else(internal)
}

fn server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Lakeward");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "59.3.0");
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    let timeout_ms = i32::try_from(IDLE_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, timeout_ms);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
}

fn names(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    // Tables that are only written to are listed too.
    info.append(SqlInfo::SqlAllTablesAreSelectable, false);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "$");
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlCatalogTerm, "database");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    let definitions = bits(&[SqlSupportedElementActions::SqlElementInPrivilegeDefinitions as u32]);
    info.append(SqlInfo::SqlSchemasSupportedActions, definitions);
    info.append(SqlInfo::SqlCatalogsSupportedActions, definitions);
}

fn language(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, true);
    info.append(SqlInfo::SqlDdlTable, true);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlNumericFunctions, &NUMERIC_FUNCTIONS[..]);
    info.append(SqlInfo::SqlStringFunctions, &STRING_FUNCTIONS[..]);
    info.append(SqlInfo::SqlSystemFunctions, &["COALESCE", "CURRENT_USER", "NULLIF"][..]);
    info.append(SqlInfo::SqlDatetimeFunctions, &DATETIME_FUNCTIONS[..]);
    let yes = [
        SqlInfo::SqlSupportsColumnAliasing,
        SqlInfo::SqlNullPlusNullIsNull,
        SqlInfo::SqlSupportsTableCorrelationNames,
        SqlInfo::SqlSupportsExpressionsInOrderBy,
        SqlInfo::SqlSupportsOrderByUnrelated,
        SqlInfo::SqlSupportsLikeEscapeClause,
        SqlInfo::SqlSupportsNonNullableColumns,
        SqlInfo::SqlCorrelatedSubqueriesSupported,
        SqlInfo::SqlBatchUpdatesSupported,
    ];
    yes.into_iter().for_each(|fact| info.append(fact, true));
    let no = [
        SqlInfo::SqlSupportsDifferentTableCorrelationNames,
        SqlInfo::SqlSupportsIntegrityEnhancementFacility,
        SqlInfo::SqlSelectForUpdateSupported,
        SqlInfo::SqlStoredProceduresSupported,
        SqlInfo::SqlNamedParametersSupported,
        SqlInfo::SqlLocatorsUpdateCopy,
        SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
    ];
    no.into_iter().for_each(|fact| info.append(fact, false));
    let group_by =
        [SqlSupportedGroupBy::SqlGroupByUnrelated as u32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as u32];
    info.append(SqlInfo::SqlSupportedGroupBy, bits(&group_by));
    let grammar = [SupportedSqlGrammar::SqlMinimumGrammar as u32, SupportedSqlGrammar::SqlCoreGrammar as u32];
    info.append(SqlInfo::SqlSupportedGrammar, bits(&grammar));
    // Entry level, the lowest bit.
    info.append(SqlInfo::SqlAnsi92SupportedLevel, bits(&[0]));
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, bits(&[SqlOuterJoinsSupportLevel::SqlFullOuterJoins as u32]));
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as u32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as u32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as u32,
    ];
    info.append(SqlInfo::SqlSupportedSubqueries, bits(&subqueries));
    let unions = [SqlSupportedUnions::SqlUnion as u32, SqlSupportedUnions::SqlUnionAll as u32];
    info.append(SqlInfo::SqlSupportedUnions, bits(&unions));
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0);
    let forward_only = bits(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as u32]);
    info.append(SqlInfo::SqlSupportedResultSetTypes, forward_only);
    let read_only = bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as u32]);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, read_only);
    for scrolled in [
        SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
    ] {
        info.append(scrolled, 0);
    }
}

fn limits(info: &mut SqlInfoDataBuilder) {
    let longest = i64::try_from(MAX_STATEMENT_BYTES).unwrap_or(i64::MAX);
    info.append(SqlInfo::SqlMaxStatementLength, longest);
    // There are neither indexes, cursors by name nor procedures.
    for none in [SqlInfo::SqlMaxColumnsInIndex, SqlInfo::SqlMaxIndexLength, SqlInfo::SqlMaxProcedureNameLength] {
        info.append(none, 0_i64);
    }
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    // A block takes one write, which is less than drivers mean by transactions.
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(SqlInfo::SqlSavepointsSupported, false);
    info.append(SqlInfo::SqlDefaultTransactionIsolation, SqlTransactionIsolationLevel::SqlTransactionNone as i32);
    info.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, 0);
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
}

/// A bitmask with these bits.
fn bits(bits: &[u32]) -> i32 {
    bits.iter().fold(0, |mask, bit| mask | (1 << bit))
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::CommandGetSqlInfo;

    use super::*;

    #[test]
    fn asked_for_one_fact_the_server_tells_one_and_asked_for_none_all() {
        let count =
            |info: Vec<u32>| CommandGetSqlInfo { info }.into_builder(all().unwrap()).build().unwrap().num_rows();
        assert_eq!(count(vec![SqlInfo::FlightSqlServerName as u32]), 1);
        assert!(count(Vec::new()) >= 70, "{}", count(Vec::new()));
    }
}
