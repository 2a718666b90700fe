//! SQLSTATEs, gRPC codes, and the trait by which every error of Lakeward tells its own.

use std::fmt;

/// A five-character SQLSTATE (ISO/IEC 9075; PostgreSQL's appendix A, and Lakeward's own `LW…`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState(&'static str);

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $code:literal),* $(,)?) => {
        impl SqlState {
            $($(#[$doc])* pub const $name: SqlState = SqlState($code);)*

            /// Every code that Lakeward can answer.
            pub const ALL: &'static [SqlState] = &[$(SqlState::$name),*];
        }
    };
}

states! {
    /// `successful_completion`
    SUCCESS = "00000",
    /// `warning`
    WARNING = "01000",
    /// `privilege_not_revoked`
    PRIVILEGE_NOT_REVOKED = "01006",
    /// `privilege_not_granted`
    PRIVILEGE_NOT_GRANTED = "01007",
    /// `connection_failure`
    CONNECTION_FAILURE = "08006",
    /// `protocol_violation`
    PROTOCOL_VIOLATION = "08P01",
    /// `feature_not_supported`
    FEATURE_NOT_SUPPORTED = "0A000",
    /// `invalid_grant_operation`
    INVALID_GRANT_OPERATION = "0LP01",
    /// `cardinality_violation`
    CARDINALITY_VIOLATION = "21000",
    /// `data_exception`
    DATA_EXCEPTION = "22000",
    /// `string_data_right_truncation`
    STRING_DATA_RIGHT_TRUNCATION = "22001",
    /// `numeric_value_out_of_range`
    NUMERIC_VALUE_OUT_OF_RANGE = "22003",
    /// `invalid_datetime_format`
    INVALID_DATETIME_FORMAT = "22007",
    /// `datetime_field_overflow`
    DATETIME_FIELD_OVERFLOW = "22008",
    /// `invalid_time_zone_displacement_value`
    INVALID_TIME_ZONE_DISPLACEMENT_VALUE = "22009",
    /// `substring_error`
    SUBSTRING_ERROR = "22011",
    /// `division_by_zero`
    DIVISION_BY_ZERO = "22012",
    /// `character_not_in_repertoire`
    CHARACTER_NOT_IN_REPERTOIRE = "22021",
    /// `untranslatable_character`
    UNTRANSLATABLE_CHARACTER = "22P05",
    /// `invalid_argument_for_logarithm`
    INVALID_ARGUMENT_FOR_LOGARITHM = "2201E",
    /// `invalid_argument_for_width_bucket_function`
    INVALID_ARGUMENT_FOR_WIDTH_BUCKET = "2201G",
    /// `invalid_argument_for_power_function`
    INVALID_ARGUMENT_FOR_POWER = "2201F",
    /// `invalid_regular_expression`
    INVALID_REGULAR_EXPRESSION = "2201B",
    /// `invalid_row_count_in_limit_clause`
    INVALID_ROW_COUNT_IN_LIMIT = "2201W",
    /// `invalid_row_count_in_result_offset_clause`
    INVALID_ROW_COUNT_IN_OFFSET = "2201X",
    /// `invalid_parameter_value`
    INVALID_PARAMETER_VALUE = "22023",
    /// `invalid_text_representation`
    INVALID_TEXT_REPRESENTATION = "22P02",
    /// `invalid_binary_representation`
    INVALID_BINARY_REPRESENTATION = "22P03",
    /// `bad_copy_file_format`
    BAD_COPY_FILE_FORMAT = "22P04",
    /// `not_null_violation`
    NOT_NULL_VIOLATION = "23502",
    /// `invalid_cursor_state`
    INVALID_CURSOR_STATE = "24000",
    /// `active_sql_transaction`
    ACTIVE_SQL_TRANSACTION = "25001",
    /// `read_only_sql_transaction`
    READ_ONLY_SQL_TRANSACTION = "25006",
    /// `no_active_sql_transaction`
    NO_ACTIVE_SQL_TRANSACTION = "25P01",
    /// `in_failed_sql_transaction`
    IN_FAILED_SQL_TRANSACTION = "25P02",
    /// `idle_in_transaction_session_timeout`
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = "25P03",
    /// `transaction_timeout`
    TRANSACTION_TIMEOUT = "25P04",
    /// `invalid_sql_statement_name`
    INVALID_SQL_STATEMENT_NAME = "26000",
    /// `invalid_authorization_specification`
    INVALID_AUTHORIZATION_SPECIFICATION = "28000",
    /// `invalid_password`
    INVALID_PASSWORD = "28P01",
    /// `dependent_objects_still_exist`
    DEPENDENT_OBJECTS_STILL_EXIST = "2BP01",
    /// `invalid_cursor_name`
    INVALID_CURSOR_NAME = "34000",
    /// `invalid_catalog_name`
    INVALID_CATALOG_NAME = "3D000",
    /// `invalid_savepoint_specification`
    INVALID_SAVEPOINT_SPECIFICATION = "3B001",
    /// `invalid_schema_name`
    INVALID_SCHEMA_NAME = "3F000",
    /// `transaction_rollback`
    TRANSACTION_ROLLBACK = "40000",
    /// `serialization_failure`
    SERIALIZATION_FAILURE = "40001",
    /// `insufficient_privilege`
    INSUFFICIENT_PRIVILEGE = "42501",
    /// `syntax_error`
    SYNTAX_ERROR = "42601",
    /// `invalid_name`
    INVALID_NAME = "42602",
    /// `duplicate_column`
    DUPLICATE_COLUMN = "42701",
    /// `ambiguous_column`
    AMBIGUOUS_COLUMN = "42702",
    /// `ambiguous_function`
    AMBIGUOUS_FUNCTION = "42725",
    /// `undefined_column`
    UNDEFINED_COLUMN = "42703",
    /// `undefined_object`
    UNDEFINED_OBJECT = "42704",
    /// `duplicate_object`
    DUPLICATE_OBJECT = "42710",
    /// `grouping_error`
    GROUPING_ERROR = "42803",
    /// `datatype_mismatch`
    DATATYPE_MISMATCH = "42804",
    /// `cannot_coerce`
    CANNOT_COERCE = "42846",
    /// `duplicate_alias`
    DUPLICATE_ALIAS = "42712",
    /// `invalid_column_reference`
    INVALID_COLUMN_REFERENCE = "42P10",
    /// `windowing_error`
    WINDOWING_ERROR = "42P20",
    /// `wrong_object_type`
    WRONG_OBJECT_TYPE = "42809",
    /// `undefined_function`
    UNDEFINED_FUNCTION = "42883",
    /// `reserved_name`
    RESERVED_NAME = "42939",
    /// `undefined_table`
    UNDEFINED_TABLE = "42P01",
    /// `undefined_parameter`
    UNDEFINED_PARAMETER = "42P02",
    /// `duplicate_cursor`
    DUPLICATE_CURSOR = "42P03",
    /// `duplicate_prepared_statement`
    DUPLICATE_PREPARED_STATEMENT = "42P05",
    /// `duplicate_schema`
    DUPLICATE_SCHEMA = "42P06",
    /// `duplicate_table`
    DUPLICATE_TABLE = "42P07",
    /// `invalid_table_definition`
    INVALID_TABLE_DEFINITION = "42P16",
    /// `invalid_object_definition`
    INVALID_OBJECT_DEFINITION = "42P17",
    /// `indeterminate_datatype`
    INDETERMINATE_DATATYPE = "42P18",
    /// `insufficient_resources`
    INSUFFICIENT_RESOURCES = "53000",
    /// `out_of_memory`
    OUT_OF_MEMORY = "53200",
    /// `too_many_connections`
    TOO_MANY_CONNECTIONS = "53300",
    /// `configuration_limit_exceeded`
    CONFIGURATION_LIMIT_EXCEEDED = "53400",
    /// `program_limit_exceeded`
    PROGRAM_LIMIT_EXCEEDED = "54000",
    /// `too_many_columns`
    TOO_MANY_COLUMNS = "54011",
    /// `object_not_in_prerequisite_state`
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000",
    /// `object_in_use`
    OBJECT_IN_USE = "55006",
    /// `cant_change_runtime_param`
    CANT_CHANGE_RUNTIME_PARAM = "55P02",
    /// `query_canceled`: by the user, or by a time-out
    QUERY_CANCELED = "57014",
    /// `admin_shutdown`
    ADMIN_SHUTDOWN = "57P01",
    /// `cannot_connect_now`
    CANNOT_CONNECT_NOW = "57P03",
    /// `idle_session_timeout`
    IDLE_SESSION_TIMEOUT = "57P05",
    /// `io_error`: the audit log or the storage is unavailable
    IO_ERROR = "58030",
    /// `internal_error`
    INTERNAL_ERROR = "XX000",
    /// `data_corrupted`
    DATA_CORRUPTED = "XX001",
    /// What a subscription's token would resume from is no longer retained.
    TOKEN_EXPIRED = "LW002",
    /// A subscriber reads more slowly than its view changes.
    SUBSCRIBER_TOO_SLOW = "LW003",
    /// A change of policies breaks a policy test.
    POLICY_TEST_FAILED = "LW004",
}

/// The classes of SQLSTATE that tell of a malformed or wrong request.
const INVALID_ARGUMENT: &[&str] = &["0L", "22", "42", "21", "23", "24", "25", "26", "2B", "34", "3B", "3D", "3F", "08"];

impl SqlState {
    /// The five characters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The gRPC code that stands for this SQLSTATE on Flight SQL (`docs/sql.md`, "Types and errors").
    #[must_use]
    pub fn grpc(self) -> GrpcCode {
        match self.0 {
            "42501" => GrpcCode::PermissionDenied,
            "42P01" => GrpcCode::NotFound,
            "40001" => GrpcCode::Aborted,
            "57014" => GrpcCode::Cancelled,
            "58030" | "57P01" | "57P03" | "57P05" => GrpcCode::Unavailable,
            code if code.starts_with("28") => GrpcCode::Unauthenticated,
            code if code.starts_with("0A") => GrpcCode::Unimplemented,
            code if code.starts_with("53") || code == "LW003" => GrpcCode::ResourceExhausted,
            code if INVALID_ARGUMENT.iter().any(|class| code.starts_with(class)) => GrpcCode::InvalidArgument,
            code if code.starts_with("54") || code.starts_with("55") => GrpcCode::FailedPrecondition,
            "LW002" | "LW004" => GrpcCode::FailedPrecondition,
            _ => GrpcCode::Internal,
        }
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// gRPC status codes, with their numbers on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum GrpcCode {
    /// The operation was cancelled.
    Cancelled = 1,
    /// The request is malformed or wrong.
    InvalidArgument = 3,
    /// What was named does not exist.
    NotFound = 5,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A limit was reached.
    ResourceExhausted = 8,
    /// The system is not in a state for this.
    FailedPrecondition = 9,
    /// A concurrent change won.
    Aborted = 10,
    /// Not supported.
    Unimplemented = 12,
    /// Lakeward's own fault.
    Internal = 13,
    /// Storage or audit is unavailable; try again.
    Unavailable = 14,
    /// Who the caller is was not established.
    Unauthenticated = 16,
}

/// What every error of Lakeward can tell a client.
///
/// `message`, `detail` and `hint` go to the user as they are: they never hold a cell's value, nor the text of an
/// error from a library.
pub trait Coded: std::error::Error {
    /// The SQLSTATE.
    fn sqlstate(&self) -> SqlState;

    /// The gRPC code; follows from the SQLSTATE.
    fn grpc(&self) -> GrpcCode {
        self.sqlstate().grpc()
    }

    /// One line for the user.
    fn message(&self) -> String {
        self.to_string()
    }

    /// More about the error, where there is more to say.
    fn detail(&self) -> Option<String> {
        None
    }

    /// What the user can do about it.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Where in the statement, in characters from 1.
    fn position(&self) -> Option<usize> {
        None
    }

    /// What the server was doing: a line of COPY's data, a parameter. Names and numbers, never a value.
    fn context(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{GrpcCode, SqlState};

    #[test]
    fn every_code_has_five_characters_and_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for state in SqlState::ALL {
            assert_eq!(state.as_str().len(), 5, "{state}");
            assert!(seen.insert(state.as_str()), "{state} stands twice");
        }
    }

    #[test]
    fn grpc_codes_follow_the_reference() {
        let expected = [
            (SqlState::INVALID_PASSWORD, GrpcCode::Unauthenticated),
            (SqlState::INSUFFICIENT_PRIVILEGE, GrpcCode::PermissionDenied),
            (SqlState::UNDEFINED_TABLE, GrpcCode::NotFound),
            (SqlState::SYNTAX_ERROR, GrpcCode::InvalidArgument),
            (SqlState::DIVISION_BY_ZERO, GrpcCode::InvalidArgument),
            (SqlState::FEATURE_NOT_SUPPORTED, GrpcCode::Unimplemented),
            (SqlState::SERIALIZATION_FAILURE, GrpcCode::Aborted),
            (SqlState::OUT_OF_MEMORY, GrpcCode::ResourceExhausted),
            (SqlState::QUERY_CANCELED, GrpcCode::Cancelled),
            (SqlState::IO_ERROR, GrpcCode::Unavailable),
            (SqlState::INTERNAL_ERROR, GrpcCode::Internal),
        ];
        for (state, code) in expected {
            assert_eq!(state.grpc(), code, "{state}");
        }
    }
}
