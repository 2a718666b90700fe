//! From a column's masking policy to the expression that stands in the column's place.
//!
//! Invariant: a mask keeps its column's Arrow type exactly, for every principal.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, TableReference};
use datafusion_expr::{Cast, Expr, ExprSchemable};
use lakeward_catalog::{MaskingPolicy, Parameter};

use crate::compile::{CompileError, OwnersRights, PolicyCompiler, coerced, compiled, simplified};
use crate::principal::Principal;
use crate::session_functions::substitute_session_functions;

/// Checks a masking policy when it is made, and, with the types of the columns it is bound to, when it is set.
///
/// # Errors
/// [`CompileError`], with the code that the statement answers.
pub fn check_masking_policy(
    policy: &MaskingPolicy,
    argument_types: Option<&[DataType]>,
    compiler: &dyn PolicyCompiler,
) -> Result<(), CompileError> {
    let declared = policy
        .parameters
        .iter()
        .map(|parameter| sql_type(&parameter.sql_type, compiler))
        .collect::<Result<Vec<_>, _>>()?;
    let returns = sql_type(&policy.returns, compiler)?;
    let target = declared.first().ok_or(CompileError::Arguments { expected: 1, actual: 0 })?;
    require("a masking policy's result", &returns, target)?;
    let types = match argument_types {
        Some(types) => {
            bindable(&declared, types)?;
            types
        }
        None => &declared,
    };
    let body = body(policy, types, &Principal::nobody(), compiler)?;
    let schema = parameter_schema(&policy.parameters, types)?;
    let target = types.first().ok_or(CompileError::Arguments { expected: 1, actual: 0 })?;
    fitted(coerced(body, &schema)?, &schema, target).map(drop)
}

/// The columns that a mask reads: names and types, the masked column first.
pub(crate) struct Arguments {
    pub(crate) names: Vec<String>,
    pub(crate) types: Vec<DataType>,
}

/// Compiles a mask for `principal`. `None`: the raw value is shown.
pub(crate) fn compile_mask(
    policy: &MaskingPolicy,
    arguments: &Arguments,
    principal: &Principal,
    schema: &Arc<DFSchema>,
    qualifier: &TableReference,
    rights: &OwnersRights<'_>,
) -> Result<Option<Expr>, CompileError> {
    let compiler = rights.compiler;
    let declared = policy
        .parameters
        .iter()
        .map(|parameter| sql_type(&parameter.sql_type, compiler))
        .collect::<Result<Vec<_>, _>>()?;
    bindable(&declared, &arguments.types)?;
    let body = body(policy, &arguments.types, principal, compiler)?;
    rights.check(&body)?;
    let bound = coerced(bound(body, &policy.parameters, &arguments.names, qualifier)?, schema)?;
    let (Some(column), Some(target)) = (arguments.names.first(), arguments.types.first()) else {
        return Err(CompileError::Arguments { expected: policy.parameters.len(), actual: 0 });
    };
    let mask = fitted(simplified(bound, schema)?, schema, target)?;
    let mask = simplified(mask, schema)?.unalias_nested().data;
    let identity = matches!(&mask, Expr::Column(shown) if shown.name == *column);
    Ok((!identity).then_some(mask))
}

/// The body over the parameters, with session functions replaced.
fn body(
    policy: &MaskingPolicy,
    types: &[DataType],
    principal: &Principal,
    compiler: &dyn PolicyCompiler,
) -> Result<Expr, CompileError> {
    let schema = parameter_schema(&policy.parameters, types)?;
    let expr = compiled(policy.body.expose(), &schema, compiler)?;
    Ok(substitute_session_functions(expr, principal)?)
}

fn parameter_schema(parameters: &[Parameter], types: &[DataType]) -> Result<DFSchema, CompileError> {
    let fields =
        parameters.iter().zip(types).map(|(parameter, data_type)| Field::new(&parameter.name, data_type.clone(), true));
    Ok(DFSchema::try_from(Schema::new(fields.collect::<Vec<_>>()))?)
}

/// Puts the table's columns in place of the parameters.
fn bound(
    body: Expr,
    parameters: &[Parameter],
    names: &[String],
    qualifier: &TableReference,
) -> Result<Expr, CompileError> {
    let mut unknown = None;
    let expr = body
        .transform(|node| match node {
            Expr::Column(column) => {
                let bound =
                    parameters.iter().position(|parameter| parameter.name == column.name).and_then(|at| names.get(at));
                match bound {
                    Some(name) => Ok(Transformed::yes(Expr::Column(Column::new(Some(qualifier.clone()), name)))),
                    None => {
                        unknown = Some(column.name.clone());
                        Ok(Transformed::no(Expr::Column(column)))
                    }
                }
            }
            other => Ok(Transformed::no(other)),
        })
        .data()?;
    match unknown {
        Some(name) => Err(CompileError::UnknownColumn(name)),
        None => Ok(expr),
    }
}

/// Functions whose results are not their arguments any more, as far as a mask is concerned (`safe_harbor_*` are others).
const HIDING: &[&str] = &[
    "mask_null",
    "mask_alphanum",
    "mask_show_last",
    "mask_show_first",
    "mask_partial",
    "mask_hash",
    "hmac_token",
    "tokenize",
    "fpe_encrypt",
    "truncate_to_year",
    "de_identify",
];

/// The place of the list of kinds among the arguments of `de_identify`.
const ENTITIES: usize = 2;

/// Whether a mask can let a value through, or a part of it that no masking function has made: `ELSE val`, `left(val, 3)`.
pub(crate) fn reveals(mask: &Expr) -> bool {
    match mask {
        Expr::Column(_) => true,
        Expr::ScalarFunction(function)
            if HIDING.contains(&function.name()) || function.name().starts_with("safe_harbor_") =>
        {
            function.name() == "de_identify" && !hides_every_kind(&function.args) && names_columns(mask)
        }
        // What it undoes may be what hid the value.
        Expr::ScalarFunction(function) if function.name() == "fpe_decrypt" => names_columns(mask),
        // A condition chooses, and is not shown.
        Expr::Case(case) => {
            let mut branches = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            branches.any(|branch| reveals(branch))
        }
        other => {
            let mut found = false;
            // The closure never fails, so neither does the walk.
            let _ = other.apply_children(|child| {
                found |= reveals(child);
                Ok(TreeNodeRecursion::Continue)
            });
            found
        }
    }
}

/// Whether these arguments of `de_identify` leave no kind of identifier out: a list of kinds is none, or NULL. With a list
/// the caller chooses what stays, up to all of it.
#[must_use]
pub fn hides_every_kind(arguments: &[Expr]) -> bool {
    arguments.get(ENTITIES).is_none_or(is_null)
}

fn names_columns(expr: &Expr) -> bool {
    !expr.column_refs().is_empty()
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Alias(alias) => is_null(&alias.expr),
        Expr::Cast(cast) => is_null(&cast.expr),
        _ => false,
    }
}

/// Makes `mask` exactly of type `target`, where the difference is one of representation only.
fn fitted(mask: Expr, schema: &DFSchema, target: &DataType) -> Result<Expr, CompileError> {
    let actual = mask.get_type(schema)?;
    if actual == *target {
        return Ok(mask);
    }
    if actual != DataType::Null && !(actual.is_integer() && target.is_integer()) {
        require("a masking policy's result", target, &actual)?;
    }
    Ok(Expr::Cast(Cast::new(Box::new(mask), target.clone())))
}

/// The Arrow type of an SQL type, as the planner sees it. `jsonb`, of which each struct and map is one, is the struct that
/// has no member: it stands for whichever type a column has, and is itself no column's.
fn sql_type(name: &str, compiler: &dyn PolicyCompiler) -> Result<DataType, CompileError> {
    let any = DataType::Struct(Fields::empty());
    match name {
        "jsonb" => return Ok(any),
        "jsonb[]" => return Ok(DataType::List(Arc::new(Field::new("element", any, true)))),
        _ => {}
    }
    let schema = DFSchema::empty();
    Ok(compiler.compile(&format!("CAST(NULL AS {name})"), &schema, Vec::new())?.get_type(&schema)?)
}

fn bindable(declared: &[DataType], actual: &[DataType]) -> Result<(), CompileError> {
    if declared.len() != actual.len() {
        return Err(CompileError::Arguments { expected: declared.len(), actual: actual.len() });
    }
    declared.iter().zip(actual).try_for_each(|(declared, actual)| require("a masked column", declared, actual))
}

fn require(subject: &'static str, expected: &DataType, actual: &DataType) -> Result<(), CompileError> {
    if same_sql_type(expected, actual) {
        return Ok(());
    }
    Err(CompileError::Type { subject, expected: expected.to_string(), actual: actual.to_string() })
}

/// Whether two Arrow types hold the same SQL type in different representations.
fn same_sql_type(left: &DataType, right: &DataType) -> bool {
    if left == right || (is_text(left) && is_text(right)) || (is_binary(left) && is_binary(right)) {
        return true;
    }
    match (left, right) {
        (DataType::Timestamp(_, left), DataType::Timestamp(_, right)) => left.is_some() == right.is_some(),
        (DataType::List(left), DataType::List(right)) => same_sql_type(left.data_type(), right.data_type()),
        (DataType::Struct(any), DataType::Struct(_) | DataType::Map(..)) => any.is_empty(),
        (left, right) => left.is_decimal() && right.is_decimal(),
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

#[cfg(test)]
mod tests {
    use datafusion_expr::{col, lit, when};

    use super::reveals;
    use crate::testing::session_function;

    #[test]
    fn a_mask_reveals_what_can_pass_it_as_it_is() {
        let call = |name| session_function(name, vec![col("ssn")]);
        let none = lit(datafusion_common::ScalarValue::Null);
        let own_ward = col("ward").eq(lit(1));
        let table = [
            (col("ssn"), true),
            (lit("x"), false),
            (call("mask_null"), false),
            (call("safe_harbor_zip"), false),
            (call("left"), true),
            (call("mask_show_last").is_null(), false),
            (when(own_ward.clone(), call("mask_hash")).otherwise(lit("x")).unwrap(), false),
            (when(own_ward, col("ssn")).otherwise(call("mask_null")).unwrap(), true),
            (session_function("coalesce", vec![call("mask_null"), col("ssn")]), true),
            (call("de_identify"), false),
            (session_function("de_identify", vec![col("ssn"), lit("mask"), none.clone(), lit("strict")]), false),
            (session_function("de_identify", vec![col("ssn"), lit("mask"), lit("EMAIL")]), true),
            (session_function("de_identify", vec![col("ssn"), lit("mask"), col("kinds")]), true),
            (call("fpe_encrypt"), false),
            (session_function("fpe_decrypt", vec![call("fpe_encrypt"), lit("d")]), true),
        ];
        for (mask, expected) in table {
            assert_eq!(reveals(&mask), expected, "{mask}");
        }
    }
}
