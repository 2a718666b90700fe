//! `phi_detect`, `phi_contains` and `de_identify`: identifiers in notes, over columns.
//!
//! Invariants: what was not read (a text of more than 256 MiB) is an error, never passed on; a row of NULL is NULL; options are
//! constants, or are read again for each row.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int32Builder, ListArray, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{DataFusionError, Result, internal_datafusion_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use hmac::{Hmac, Mac};
use lakeward_base::{FunctionError, SqlState};
use sha2::Sha256;

use crate::argument::evaluate;
use crate::deidentify::{Cipher, Detector, Entities, Entity, Finding, Hints, Operator, Request};
use crate::function::text_argument;
use crate::keys::{KeyPurpose, KeyRing};
use crate::siv::Siv;
use crate::text::{self, Wrote};

/// The name of the function that replaces identifiers.
pub(crate) const DE_IDENTIFY: &str = "de_identify";
const DETECT: &str = "phi_detect";
const CONTAINS: &str = "phi_contains";

/// Operators that need no key.
const OPEN_OPERATORS: [&str; 3] = ["replace", "redact", "mask"];

/// Whether `de_identify` needs no EXECUTE with an operator that is this constant; `None`: it is no constant.
pub(crate) fn is_open_operator(operator: Option<&str>) -> bool {
    operator.is_some_and(|operator| OPEN_OPERATORS.contains(&operator.to_ascii_lowercase().as_str()))
}

/// Which of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    Detect,
    Contains,
    Replace,
}

/// `phi_detect(text [, entities [, threshold]])`, `phi_contains(text [, entities])`, and
/// `de_identify(text [, operator, entities, mode, hints, subject])`.
pub(crate) struct NoteFunction {
    task: Task,
    signature: Signature,
    keys: Arc<dyn KeyRing>,
}

impl NoteFunction {
    fn new(task: Task, keys: &Arc<dyn KeyRing>) -> Self {
        Self { task, signature: Signature::user_defined(Volatility::Immutable), keys: Arc::clone(keys) }
    }

    pub(crate) fn detect(keys: &Arc<dyn KeyRing>) -> Self {
        Self::new(Task::Detect, keys)
    }

    pub(crate) fn contains(keys: &Arc<dyn KeyRing>) -> Self {
        Self::new(Task::Contains, keys)
    }

    pub(crate) fn replace(keys: &Arc<dyn KeyRing>) -> Self {
        Self::new(Task::Replace, keys)
    }

    /// The places of the options.
    fn places(&self) -> Places {
        match self.task {
            Task::Detect => Places { entities: 1, threshold: Some(2), ..Places::default() },
            Task::Contains => Places { entities: 1, ..Places::default() },
            Task::Replace => Places {
                operator: Some(1),
                entities: 2,
                mode: Some(3),
                hints: Some(4),
                subject: Some(5),
                threshold: None,
            },
        }
    }
}

/// Which argument is what.
#[derive(Default)]
struct Places {
    operator: Option<usize>,
    entities: usize,
    threshold: Option<usize>,
    mode: Option<usize>,
    hints: Option<usize>,
    subject: Option<usize>,
}

impl ScalarUDFImpl for NoteFunction {
    fn name(&self) -> &str {
        match self.task {
            Task::Detect => DETECT,
            Task::Contains => CONTAINS,
            Task::Replace => DE_IDENTIFY,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let most = match self.task {
            Task::Detect => 3,
            Task::Contains => 2,
            Task::Replace => 6,
        };
        if given.is_empty() || given.len() > most {
            return plan_err!("function {} takes 1 to {most} arguments, not {}", self.name(), given.len());
        }
        let places = self.places();
        given.iter().enumerate().map(|(place, given)| coerced(self.name(), &places, place, given)).collect()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match (self.task, arguments.first()) {
            (Task::Detect, _) => Ok(DataType::List(Arc::new(item()))),
            (Task::Contains, _) => Ok(DataType::Boolean),
            (Task::Replace, Some(text)) => Ok(text.clone()),
            (Task::Replace, None) => plan_err!("function {DE_IDENTIFY} takes a text"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut options = Options::read(&arguments, self.places(), self.keys.as_ref())?;
        evaluate(&arguments, |column| match self.task {
            Task::Detect => detect(column, &mut options),
            Task::Contains => contains(column, &mut options),
            Task::Replace => replace(column, &mut options),
        })
    }
}

fn coerced(function: &str, places: &Places, place: usize, given: &DataType) -> Result<DataType> {
    let list = || Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))));
    if place == 0 {
        return text_argument(function, given);
    }
    if place == places.entities || Some(place) == places.hints {
        return match given {
            DataType::Null => list(),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
                if item.data_type().is_null() || item.data_type().is_string() || item.data_type().is_primitive() =>
            {
                list()
            }
            // An untyped '{EMAIL,SSN}' is left to the caller's cast: one kind's name is a list of one.
            given if given.is_string() => Ok(DataType::Utf8),
            _ => plan_err!("function {function} takes an array of text as argument {}, not {given}", place + 1),
        };
    }
    if Some(place) == places.threshold {
        let number = given.is_numeric() || given.is_null();
        return if number {
            Ok(DataType::Float64)
        } else {
            plan_err!("function {function} takes a number as its threshold, not {given}")
        };
    }
    if Some(place) == places.subject && (given.is_integer() || given.is_null()) {
        return Ok(DataType::Utf8);
    }
    text_argument(function, given).map(|_| DataType::Utf8)
}

/// One element of what `phi_detect` returns.
fn item() -> Field {
    Field::new_list_field(DataType::Struct(fields()), true)
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("entity", DataType::Utf8, true),
        Field::new("start", DataType::Int32, true),
        Field::new("end", DataType::Int32, true),
        Field::new("score", DataType::Float64, true),
        Field::new("recognizer", DataType::Utf8, true),
    ])
}

/// What 0.55 times 100 is above 55.
const ROUNDING: f64 = 1e-9;

/// The most hints of a row.
const HINTS: usize = 256;

/// What to do with each row.
struct Options<'a> {
    keys: &'a dyn KeyRing,
    operator: Option<ArrayRef>,
    entities: Option<ArrayRef>,
    threshold: Option<ArrayRef>,
    mode: Option<ArrayRef>,
    hints: Option<ArrayRef>,
    subject: Option<ArrayRef>,
    /// The request of constant arguments, made once.
    request: Option<Request>,
    sealer: Option<Sealer>,
    detector: Detector,
}

impl<'a> Options<'a> {
    fn read(arguments: &ScalarFunctionArgs, places: Places, keys: &'a dyn KeyRing) -> Result<Self> {
        let array = |place: Option<usize>| {
            let argument = place.and_then(|place| arguments.args.get(place));
            argument
                .map(|argument| match argument {
                    ColumnarValue::Scalar(value) => value.to_array(),
                    ColumnarValue::Array(column) => Ok(Arc::clone(column)),
                })
                .transpose()
        };
        let constant = |place: Option<usize>| {
            place
                .and_then(|place| arguments.args.get(place))
                .is_none_or(|argument| matches!(argument, ColumnarValue::Scalar(_)))
        };
        let same = constant(Some(places.entities)) && constant(places.threshold) && constant(places.mode);
        let mut options = Self {
            keys,
            operator: array(places.operator)?,
            entities: array(Some(places.entities))?,
            threshold: array(places.threshold)?,
            mode: array(places.mode)?,
            hints: array(places.hints)?,
            subject: array(places.subject)?,
            request: None,
            sealer: None,
            detector: Detector::new(),
        };
        if same {
            options.request = Some(options.request_of(0)?);
        }
        Ok(options)
    }

    fn request_of(&self, row: usize) -> Result<Request> {
        if let Some(request) = &self.request {
            return Ok(request.clone());
        }
        let entities = texts(self.entities.as_ref(), row).map_or(Ok(Entities::ALL), |names| entities(&names))?;
        let threshold = self.threshold.as_ref().and_then(|column| {
            let column = column.as_primitive_opt::<arrow::datatypes::Float64Type>()?;
            let row = row.min(column.len().saturating_sub(1));
            column.is_valid(row).then(|| column.value(row))
        });
        let threshold = threshold.map_or(Ok(Request::THRESHOLD), hundredths)?;
        let strict = match text_of(self.mode.as_ref(), row).as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("standard") => false,
            Some("strict") => true,
            // What was given could be a column's value: it is not named.
            Some(_) => return Err(invalid("de_identify has the modes standard and strict, and no other".to_owned())),
        };
        Ok(Request { entities, threshold, strict })
    }

    fn findings(&mut self, row: usize, text: &str) -> Result<Vec<Finding>> {
        let request = self.request_of(row)?;
        let hints = texts(self.hints.as_ref(), row).unwrap_or_default();
        if hints.len() > HINTS {
            return Err(failed(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a row has more than {HINTS} hints")));
        }
        let hints = Hints::of(hints.iter().map(String::as_str));
        let found = self.detector.detect(text, &request, &hints);
        found.ok_or_else(|| {
            failed(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "a text of more than 256 MiB, or with as much in plain letters, is not searched".to_owned(),
            )
        })
    }
}

fn detect(column: &ArrayRef, options: &mut Options<'_>) -> Result<ArrayRef> {
    let (mut entity, mut start, mut end) = (StringBuilder::new(), Int32Builder::new(), Int32Builder::new());
    let (mut score, mut recognizer) = (Float64Builder::new(), StringBuilder::new());
    let (mut lengths, mut valid) = (Vec::with_capacity(column.len()), Vec::with_capacity(column.len()));
    for row in 0..column.len() {
        let Some(text) = text::value(column, row) else {
            lengths.push(0);
            valid.push(false);
            continue;
        };
        let findings = options.findings(row, text)?;
        let (mut at, mut characters) = (0, 0_i32);
        let mut count_to = |byte: usize| {
            let passed = text.get(at..byte).map_or(0, |passed| passed.chars().count());
            characters = characters.saturating_add(i32::try_from(passed).unwrap_or(i32::MAX));
            at = byte;
            characters
        };
        for finding in &findings {
            entity.append_value(finding.entity.name());
            start.append_value(count_to(finding.start));
            end.append_value(count_to(finding.end));
            score.append_value(finding.score);
            recognizer.append_value(finding.recognizer);
        }
        lengths.push(findings.len());
        valid.push(true);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(entity.finish()),
        Arc::new(start.finish()),
        Arc::new(end.finish()),
        Arc::new(score.finish()),
        Arc::new(recognizer.finish()),
    ];
    let values = StructArray::try_new(fields(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::new(item()), offsets, Arc::new(values), Some(NullBuffer::from(valid)))?))
}

fn contains(column: &ArrayRef, options: &mut Options<'_>) -> Result<ArrayRef> {
    let mut output = BooleanBuilder::with_capacity(column.len());
    for row in 0..column.len() {
        output.append_option(match text::value(column, row) {
            Some(text) => Some(!options.findings(row, text)?.is_empty()),
            None => None,
        });
    }
    Ok(Arc::new(output.finish()))
}

fn replace(column: &ArrayRef, options: &mut Options<'_>) -> Result<ArrayRef> {
    text::rewrite(column, |row, text, output| {
        let operator = text_of(options.operator.as_ref(), row).unwrap_or_else(|| crate::DEFAULT_OPERATOR.to_owned());
        let findings = options.findings(row, text)?;
        let done = match operator.to_ascii_lowercase().as_str() {
            "replace" => Operator::Replace.apply(text, &findings, output),
            "redact" => Operator::Redact.apply(text, &findings, output),
            "mask" => Operator::Mask.apply(text, &findings, output),
            "hash" => Operator::Seal(options.sealer(row, KeyPurpose::NoteHash)?).apply(text, &findings, output),
            "encrypt" => Operator::Seal(options.sealer(row, KeyPurpose::NoteCipher)?).apply(text, &findings, output),
            "surrogate" => {
                return Err(failed(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "the operator surrogate is not supported yet".to_owned(),
                ));
            }
            _ => {
                return Err(invalid(
                    "de_identify has the operators replace, redact, mask, hash and encrypt, and no other".to_owned(),
                ));
            }
        };
        done.map(|()| Wrote::Value).ok_or_else(|| internal_datafusion_err!("an identifier was not replaced"))
    })
}

impl Options<'_> {
    /// The sealer of a row's subject; kept from row to row.
    fn sealer(&mut self, row: usize, purpose: KeyPurpose) -> Result<&mut Sealer> {
        let subject = text_of(self.subject.as_ref(), row).unwrap_or_default();
        if self.sealer.as_ref().is_none_or(|sealer| sealer.subject != subject || sealer.purpose != purpose) {
            let key = self.keys.key(purpose, &subject).map_err(|error| DataFusionError::External(Box::new(error)))?;
            let seal = match purpose {
                KeyPurpose::NoteCipher => Seal::Cipher(Box::new(Siv::new(&key))),
                _ => Seal::Hash(
                    <Hmac<Sha256> as Mac>::new_from_slice(key.as_slice())
                        .map_err(|_| internal_datafusion_err!("HMAC takes keys of any length"))?,
                ),
            };
            self.sealer = Some(Sealer { subject, purpose, seal });
        }
        self.sealer.as_mut().ok_or_else(|| internal_datafusion_err!("a sealer was made"))
    }
}

/// Seals values under the key of one subject, or of all.
struct Sealer {
    subject: String,
    purpose: KeyPurpose,
    seal: Seal,
}

enum Seal {
    /// HMAC-SHA-256.
    Hash(Hmac<Sha256>),
    /// AES-SIV, RFC 5297, with keys of 128 bits: the same value is sealed alike, and the kind is authenticated.
    Cipher(Box<Siv>),
}

impl Cipher for Sealer {
    fn seal(&mut self, entity: Entity, value: &str) -> Option<Vec<u8>> {
        match &mut self.seal {
            Seal::Hash(state) => {
                let mut state = state.clone();
                state.update(entity.name().as_bytes());
                state.update(&[0]);
                state.update(value.as_bytes());
                Some(state.finalize().into_bytes().to_vec())
            }
            Seal::Cipher(cipher) => Some(cipher.seal(entity.name().as_bytes(), value.as_bytes())),
        }
    }
}

/// A least score in hundredths.
fn hundredths(least: f64) -> Result<u8> {
    if !(0.0..=1.0).contains(&least) {
        return Err(invalid("a threshold is a number from 0 to 1".to_owned()));
    }
    Ok((least * 100.0 - ROUNDING).ceil() as u8)
}

fn entities(names: &[String]) -> Result<Entities> {
    if names.is_empty() {
        // A list of nothing would hide nothing, and look as if it had.
        return Err(invalid(
            "a list of entities names at least one: leave it out, or give NULL, for all of them".to_owned(),
        ));
    }
    let known = |name: &String| {
        Entity::parse(name).ok_or_else(|| invalid("a list of entities names one that there is not".to_owned()))
    };
    Ok(Entities::of(names.iter().map(known).collect::<Result<Vec<_>>>()?))
}

/// The texts of a list, or a text alone; NULLs left out. `None`: NULL, or no such argument.
fn texts(column: Option<&ArrayRef>, row: usize) -> Option<Vec<String>> {
    let column = column?;
    let row = row.min(column.len().saturating_sub(1));
    if column.is_empty() || column.is_null(row) {
        return None;
    }
    if let Some(list) = column.as_list_opt::<i32>() {
        let list = list.value(row);
        return Some((0..list.len()).filter_map(|at| text::value(&list, at).map(str::to_owned)).collect());
    }
    text::value(column, row).map(|text| {
        let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
        inner.split(',').map(|part| part.trim().trim_matches('"').to_owned()).filter(|part| !part.is_empty()).collect()
    })
}

fn text_of(column: Option<&ArrayRef>, row: usize) -> Option<String> {
    let column = column?;
    text::value(column, row.min(column.len().saturating_sub(1))).map(str::to_owned)
}

fn invalid(message: String) -> DataFusionError {
    failed(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn failed(state: SqlState, message: String) -> DataFusionError {
    DataFusionError::External(Box::new(FunctionError::new(state, message)))
}

impl fmt::Debug for NoteFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteFunction").field("task", &self.task).finish_non_exhaustive()
    }
}

impl PartialEq for NoteFunction {
    fn eq(&self, other: &Self) -> bool {
        self.task == other.task && Arc::ptr_eq(&self.keys, &other.keys)
    }
}

impl Eq for NoteFunction {}

impl Hash for NoteFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.task.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_takes_the_score_that_it_names() {
        for score in 0..=100_u8 {
            assert_eq!(hundredths(f64::from(score) / 100.0).unwrap(), score);
        }
        assert_eq!(hundredths(0.551).unwrap(), 56);
        assert!(hundredths(1.01).is_err() && hundredths(f64::NAN).is_err());
    }

    #[test]
    fn a_list_of_kinds_names_some_and_an_error_names_none_of_its_values() {
        assert!(entities(&[]).is_err());
        assert!(entities(&["SSN".to_owned()]).unwrap().contains(Entity::UsSsn));
        let error = entities(&["412-68-1073".to_owned()]).unwrap_err().to_string();
        assert!(!error.contains("412"), "{error}");
    }
}
