//! Text: concatenation by PostgreSQL's text forms, `format`, quoting, and numbers by a pattern.
//!
//! Invariant: a value in text is what the server would send for it.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use lakeward_base::SqlState;

use super::call::{Call, Fault, Function};
use super::math::rescale;
use super::output::text_of;
use super::value::{elements, text, utf8, whole};

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "concat", typing: any_text, body: concat, strict: false },
    Function { name: "concat_ws", typing: any_text, body: concat_ws, strict: false },
    Function { name: "format", typing: any_text, body: format_values, strict: false },
    Function {
        name: "quote_ident",
        typing: one_text,
        body: |a, c| Ok(utf8(identifier(&shown(a.first(), c)))),
        strict: true,
    },
    Function {
        name: "quote_literal",
        typing: one_text,
        body: |a, c| Ok(utf8(literal(&shown(a.first(), c)))),
        strict: true,
    },
    Function { name: "quote_nullable", typing: one_text, body: quote_nullable, strict: false },
    Function { name: "array_to_string", typing: any_text, body: array_to_string, strict: false },
    Function {
        name: "to_hex",
        typing: |types, _| (types.len() == 1 && types.iter().all(DataType::is_integer)).then_some(DataType::Utf8),
        body: to_hex,
        strict: true,
    },
    Function {
        name: "like_escape",
        typing: |types, _| (types.len() == 2).then_some(DataType::Utf8),
        body: |a, c| Ok(utf8(escaped(&shown(a.first(), c), shown(a.get(1), c).chars().next()))),
        strict: true,
    },
    Function { name: "lakeward_similar", typing: one_text, body: similar, strict: true },
    Function {
        name: "chr",
        typing: |types, _| (types.len() == 1 && types.iter().all(DataType::is_integer)).then_some(DataType::Utf8),
        body: character,
        strict: true,
    },
    Function { name: "num_nulls", typing: |_, _| Some(DataType::Int32), body: |a, _| count(a, true), strict: false },
    Function {
        name: "num_nonnulls",
        typing: |_, _| Some(DataType::Int32),
        body: |a, _| count(a, false),
        strict: false,
    },
    Function {
        name: "pg_typeof",
        typing: |types, _| (types.len() == 1).then_some(DataType::Utf8),
        body: type_of,
        strict: false,
    },
];

/// A pattern of LIKE with another escape than `\`, or with none, as one with `\`.
pub(super) fn escaped(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::new();
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        if Some(next) == escape {
            out.push('\\');
            out.extend(rest.next());
        } else if next == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(next);
        }
    }
    out
}

fn any_text(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (!types.is_empty()).then_some(DataType::Utf8)
}

fn one_text(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types.len() == 1).then_some(DataType::Utf8)
}

fn count(arguments: &[ScalarValue], nulls: bool) -> Result<ScalarValue, Fault> {
    let found = arguments.iter().filter(|argument| argument.is_null() == nulls).count();
    Ok(ScalarValue::Int32(i32::try_from(found).ok()))
}

fn type_of(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let data_type = arguments.first().map_or(DataType::Null, ScalarValue::data_type);
    Ok(utf8(super::value::type_name(&data_type)))
}

fn shown(value: Option<&ScalarValue>, call: &Call<'_>) -> String {
    value.and_then(|value| text_of(value, call.zone)).unwrap_or_default()
}

fn concat(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let texts: Vec<_> = arguments.iter().map(|value| shown(Some(value), call)).collect();
    Ok(utf8(call.room.join(&texts, "")?))
}

fn concat_ws(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [separator, rest @ ..] = arguments else { return Err(Fault::unsupported("this call")) };
    if separator.is_null() {
        return Ok(ScalarValue::Utf8(None));
    }
    let texts: Vec<_> = rest.iter().filter_map(|value| text_of(value, call.zone)).collect();
    Ok(utf8(call.room.join(&texts, &shown(Some(separator), call))?))
}

fn array_to_string(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [array, separator, rest @ ..] = arguments else { return Err(Fault::unsupported("this call")) };
    let Some(elements) = elements(array).filter(|_| !separator.is_null()) else { return Ok(ScalarValue::Utf8(None)) };
    let for_null = rest.first().and_then(|value| text_of(value, call.zone));
    let texts: Vec<_> =
        elements.iter().filter_map(|element| text_of(element, call.zone).or_else(|| for_null.clone())).collect();
    Ok(utf8(call.room.join(&texts, &shown(Some(separator), call))?))
}

/// `%s`, `%I`, `%L`, with positions and widths.
fn format_values(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let [pattern, values @ ..] = arguments else { return Err(Fault::unsupported("this call of format")) };
    let Some(pattern) = text(pattern) else { return Ok(ScalarValue::Utf8(None)) };
    let wrong = |message: &str| Fault::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut out = String::new();
    let mut next = 0;
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut spec = String::new();
        while let Some(more) = characters.peek().copied().filter(|c| c.is_ascii_digit() || matches!(c, '$' | '-')) {
            spec.push(more);
            characters.next();
        }
        let kind = characters.next().ok_or_else(|| wrong("unterminated format() type specifier"))?;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let (place, width) = match spec.split_once('$') {
            Some((place, width)) => (place.parse::<usize>().unwrap_or(0).saturating_sub(1), width.to_owned()),
            None => (next, spec),
        };
        next = place + 1;
        let value = values.get(place).ok_or_else(|| wrong("too few arguments for format()"))?;
        let piece = match kind {
            's' => shown(Some(value), call),
            'I' if value.is_null() => return Err(wrong("null values cannot be formatted as an SQL identifier")),
            'I' => identifier(&shown(Some(value), call)),
            'L' if value.is_null() => "NULL".to_owned(),
            'L' => literal(&shown(Some(value), call)),
            _ => return Err(wrong("unrecognized format() type specifier")),
        };
        let columns: usize = width.trim_start_matches('-').parse().unwrap_or(0);
        let columns = columns.min(10_000);
        call.room.holds(out.len().saturating_add(piece.len()).saturating_add(columns))?;
        out.push_str(&if width.starts_with('-') { format!("{piece:<columns$}") } else { format!("{piece:>columns$}") });
    }
    Ok(utf8(out))
}

fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn literal(value: &str) -> String {
    let escape = if value.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", value.replace('\'', "''").replace('\\', "\\\\"))
}

fn quote_nullable(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    match arguments.first() {
        Some(value) if !value.is_null() => Ok(utf8(literal(&shown(Some(value), call)))),
        _ => Ok(utf8("NULL")),
    }
}

/// 32 bits where they suffice, as PostgreSQL takes an integer literal.
fn to_hex(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let number = arguments.first().and_then(whole).ok_or_else(|| Fault::unsupported("this call"))?;
    Ok(utf8(match (arguments.first(), i32::try_from(number)) {
        (Some(ScalarValue::Int32(_)), Ok(number)) => format!("{number:x}"),
        _ => format!("{number:x}"),
    }))
}

fn character(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let refused = |message: &str| Fault::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
    let code = arguments.first().and_then(whole).ok_or_else(|| Fault::unsupported("this call"))?;
    if code == 0 {
        return Err(refused("null character not permitted"));
    }
    let found = u32::try_from(code).ok().and_then(char::from_u32);
    found.map(utf8).ok_or_else(|| refused("requested character not valid for encoding"))
}

/// A pattern of SIMILAR TO as a regular expression.
fn similar(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let pattern = arguments.first().and_then(text).unwrap_or_default();
    let mut out = "^(?:".to_owned();
    let mut characters = pattern.chars();
    let mut in_set = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                out.push('\\');
                out.extend(characters.next());
            }
            '[' => {
                in_set = true;
                out.push('[');
            }
            ']' => {
                in_set = false;
                out.push(']');
            }
            '%' if !in_set => out.push_str(".*"),
            '_' if !in_set => out.push('.'),
            '.' | '^' | '$' if !in_set => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out.push_str(")$");
    Ok(utf8(out))
}

/// The tokens of a numeric pattern.
#[derive(PartialEq, Clone, Copy)]
enum Token {
    Nine,
    Zero,
    Point,
    Comma,
    Sign,
    Minus,
    Bracket,
    Ordinal(bool),
    Literal(char),
}

struct NumberPattern {
    fill: bool,
    tokens: Vec<Token>,
}

impl NumberPattern {
    fn read(pattern: &str) -> Result<Self, Fault> {
        let mut rest = pattern;
        let mut fill = true;
        let mut tokens = Vec::new();
        while let Some(first) = rest.chars().next() {
            let two = rest.get(..2).unwrap_or_default().to_ascii_uppercase();
            let (token, length) = match (two.as_str(), first) {
                ("FM", _) => {
                    fill = false;
                    (None, 2)
                }
                ("MI", _) => (Some(Token::Minus), 2),
                ("PR", _) => (Some(Token::Bracket), 2),
                ("TH", first) => (Some(Token::Ordinal(first == 'T')), 2),
                ("EE" | "PL" | "SG" | "RN", _) => {
                    return Err(Fault::unsupported("this pattern of to_char for numbers"));
                }
                (_, '9') => (Some(Token::Nine), 1),
                (_, '0') => (Some(Token::Zero), 1),
                (_, '.' | 'D' | 'd') => (Some(Token::Point), 1),
                (_, ',' | 'G' | 'g') => (Some(Token::Comma), 1),
                (_, 'S' | 's') => (Some(Token::Sign), 1),
                (_, 'V' | 'v') => return Err(Fault::unsupported("this pattern of to_char for numbers")),
                (_, 'L' | 'l') => (Some(Token::Literal(' ')), 1),
                (_, '"') => {
                    let inner = rest.get(1..).unwrap_or_default();
                    let end = inner.find('"').unwrap_or(inner.len());
                    tokens.extend(inner.get(..end).unwrap_or_default().chars().map(Token::Literal));
                    (None, (end + 2).min(rest.len()))
                }
                (_, other) => (Some(Token::Literal(other)), other.len_utf8()),
            };
            tokens.extend(token);
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(Self { fill, tokens })
    }

    fn has(&self, token: Token) -> bool {
        self.tokens.contains(&token)
    }
}

/// `to_char` of a number.
pub(super) fn number_format(value: &ScalarValue, pattern: &str) -> Result<String, Fault> {
    if pattern.trim_start_matches("FM").eq_ignore_ascii_case("rn") {
        return roman(whole(value), !pattern.starts_with("FM"));
    }
    let parsed = NumberPattern::read(pattern)?;
    let (digits, scale) =
        super::to_char::number_of(value).ok_or_else(|| Fault::unsupported("to_char of this number"))?;
    let is_digit = |token: &&Token| matches!(token, Token::Nine | Token::Zero);
    let point = parsed.tokens.iter().position(|token| *token == Token::Point).unwrap_or(parsed.tokens.len());
    let (before, after) = parsed.tokens.split_at(point);
    let (places, decimals) = (before.iter().filter(is_digit).count(), after.iter().filter(is_digit).count());
    let decimals_scale = i8::try_from(decimals).map_err(|_| Fault::unsupported("so long a pattern"))?;
    let rounded = rescale(digits, scale, decimals_scale).ok_or_else(|| Fault::out_of_range("numeric"))?;
    let all = format!("{:0>width$}", rounded.unsigned_abs(), width = decimals + 1);
    let (integer, fraction) = all.split_at(all.len() - decimals);
    let kept = Number { places, integer, fraction }.kept_decimals(&parsed);
    let hidden = integer == "0" && decimals > 0 && kept > 0;
    let number = Number { places, integer: if hidden { "" } else { integer }, fraction };
    let body = number.body(&parsed);
    Ok(signed(&parsed, &body, rounded < 0))
}

struct Number<'a> {
    places: usize,
    integer: &'a str,
    fraction: &'a str,
}

impl Number<'_> {
    fn body(&self, pattern: &NumberPattern) -> String {
        let overflow = self.integer.len() > self.places;
        let lead = self.places.saturating_sub(self.integer.len());
        let zero_from = pattern.tokens.iter().filter(|t| matches!(t, Token::Nine | Token::Zero)).take(self.places);
        let zero_from = zero_from.clone().position(|token| *token == Token::Zero).unwrap_or(usize::MAX);
        let kept = self.kept_decimals(pattern);
        let (mut out, mut place, mut decimal, mut begun, mut after) = (String::new(), 0, 0, false, false);
        for token in &pattern.tokens {
            match token {
                Token::Nine | Token::Zero if after => {
                    if decimal < kept {
                        out.push(if overflow { '#' } else { self.fraction.chars().nth(decimal).unwrap_or('0') });
                    }
                    decimal += 1;
                }
                Token::Nine | Token::Zero => {
                    if overflow {
                        out.push('#');
                        begun = true;
                    } else if place >= lead {
                        out.extend(self.integer.chars().nth(place - lead));
                        begun = true;
                    } else if place >= zero_from {
                        out.push('0');
                        begun = true;
                    } else if pattern.fill {
                        out.push(' ');
                    }
                    place += 1;
                }
                Token::Point => {
                    after = true;
                    out.push('.');
                }
                Token::Comma if begun => out.push(','),
                Token::Comma if pattern.fill => out.push(' '),
                Token::Literal(character) => out.push(*character),
                Token::Ordinal(upper) => {
                    let suffix = super::to_char::ordinal_suffix(self.integer, if *upper { "TH" } else { "th" });
                    out.push_str(&suffix);
                }
                _ => {}
            }
        }
        out
    }

    /// FM leaves zeros at the end out where the pattern has 9.
    fn kept_decimals(&self, pattern: &NumberPattern) -> usize {
        if pattern.fill {
            return usize::MAX;
        }
        let after = pattern.tokens.iter().skip_while(|token| **token != Token::Point);
        let digits: Vec<_> = after.filter(|token| matches!(token, Token::Nine | Token::Zero)).collect();
        let forced = digits.iter().rposition(|token| **token == Token::Zero).map_or(0, |at| at + 1);
        forced.max(self.fraction.trim_end_matches('0').len())
    }
}

/// The sign stands after what the pattern begins with.
fn signed(pattern: &NumberPattern, body: &str, negative: bool) -> String {
    let literals = pattern.tokens.iter().take_while(|token| matches!(token, Token::Literal(_)));
    let length =
        literals.map(|token| if let Token::Literal(character) = token { character.len_utf8() } else { 0 }).sum();
    let (before, body) = body.split_at_checked(length).unwrap_or(("", body));
    format!("{before}{}", with_sign(pattern, body, negative))
}

fn with_sign(pattern: &NumberPattern, body: &str, negative: bool) -> String {
    let blanks = body.len() - body.trim_start_matches(' ').len();
    let (spaces, number) = body.split_at(blanks);
    if pattern.has(Token::Sign) {
        let sign = if negative { '-' } else { '+' };
        let leads = pattern.tokens.first() == Some(&Token::Sign);
        return if leads { format!("{spaces}{sign}{number}") } else { format!("{body}{sign}") };
    }
    if pattern.has(Token::Minus) {
        let sign = match (negative, pattern.fill) {
            (true, _) => "-",
            (false, true) => " ",
            (false, false) => "",
        };
        return format!("{body}{sign}");
    }
    if pattern.has(Token::Bracket) {
        return match (negative, pattern.fill) {
            (true, _) => format!("{spaces}<{number}>"),
            (false, true) => format!(" {body} "),
            (false, false) => body.to_owned(),
        };
    }
    match (negative, pattern.fill) {
        (true, _) => format!("{spaces}-{number}"),
        (false, true) => format!(" {body}"),
        (false, false) => body.to_owned(),
    }
}

fn roman(number: Option<i64>, fill: bool) -> Result<String, Fault> {
    let Some(mut number) = number.filter(|number| (1..4000).contains(number)) else { return Ok("#".repeat(15)) };
    let steps = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut out = String::new();
    for (value, sign) in steps {
        while number >= value {
            out.push_str(sign);
            number -= value;
        }
    }
    Ok(if fill { format!("{out:>15}") } else { out })
}
