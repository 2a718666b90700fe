//! What the checks need to know of a Rust file: its functions, its test code, and the calls of a few named functions.
//!
//! Works on tokens, not on a syntax tree, so that it sees into macro calls too. Invariant: code under `#[cfg(test)]` or
//! `#[test]` is told apart from the rest.

use std::error::Error;
use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// From `fn` to the closing brace.
    pub lines: usize,
}

/// A call that only some code may make.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// What is called.
    pub callee: Callee,
    /// Where, from 1.
    pub line: usize,
}

/// What `Call` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// `RawTable::privileged_provider`.
    PrivilegedProvider,
    /// `RawTable::scan`, by path or with four arguments on something.
    Scan,
    /// `SessionContext::new…`.
    SessionContext,
}

/// A file's outline, test code apart.
#[derive(Debug, Default)]
pub struct Outline {
    /// The functions outside test code.
    pub functions: Vec<Function>,
    /// The calls outside test code.
    pub calls: Vec<Call>,
    /// Whether the file names `RawTable` outside test code.
    pub names_raw_table: bool,
    /// The modules in files of their own that are test code.
    pub test_modules: Vec<String>,
    /// The lines that test code covers.
    test_lines: Vec<RangeInclusive<usize>>,
}

impl Outline {
    /// Reads a file.
    pub fn of(text: &str) -> Result<Self, Box<dyn Error>> {
        let stream: TokenStream = text.parse().map_err(|error| format!("not Rust: {error}"))?;
        let mut outline = Self::default();
        outline.read(stream);
        Ok(outline)
    }

    /// How many of `total` lines are not test code.
    pub fn lines_without_tests(&self, total: usize) -> usize {
        let tests: usize = self.test_lines.iter().map(|lines| lines.end() + 1 - lines.start()).sum();
        total.saturating_sub(tests)
    }

    fn read(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(rest) = tokens.get(at..).filter(|rest| !rest.is_empty()) {
            if let Some(item) = test_item(rest) {
                let lines = lines_of(item);
                self.test_lines.push(lines);
                self.test_modules.extend(module_file(item));
                at += item.len();
                continue;
            }
            self.functions.extend(function(rest));
            self.calls.extend(call(rest));
            if let [TokenTree::Group(group), ..] = rest {
                self.read(group.stream());
            }
            self.names_raw_table |= is_ident(rest.first(), "RawTable");
            at += 1;
        }
    }
}

/// The item that a test attribute at the start of `tokens` stands on, attribute and all.
fn test_item(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = tokens else { return None };
    if hash.as_char() != '#' || !is_test_attribute(attribute) {
        return None;
    }
    let end = tokens.iter().position(|token| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    });
    Some(end.and_then(|end| tokens.get(..=end)).unwrap_or(tokens))
}

fn is_test_attribute(attribute: &Group) -> bool {
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test,") || text.starts_with("tokio::test")
}

/// The module that an item `mod name;` declares.
fn module_file(item: &[TokenTree]) -> Option<String> {
    match item {
        [.., TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(end)]
            if *keyword == "mod" && end.as_char() == ';' =>
        {
            Some(name.to_string())
        }
        _ => None,
    }
}

fn lines_of(tokens: &[TokenTree]) -> RangeInclusive<usize> {
    let start = tokens.first().map_or(1, |token| token.span().start().line);
    let end = tokens.last().map_or(start, |token| token.span().end().line);
    start..=end
}

/// The function with a body that begins at the start of `tokens`.
fn function(tokens: &[TokenTree]) -> Option<Function> {
    let [TokenTree::Ident(keyword), TokenTree::Ident(name), rest @ ..] = tokens else { return None };
    if *keyword != "fn" {
        return None;
    }
    let end = rest.iter().find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(Some(group.span_close().end().line)),
        TokenTree::Punct(punct) if punct.as_char() == ';' => Some(None),
        _ => None,
    });
    Some(Function { name: name.to_string(), lines: end?? + 1 - keyword.span().start().line })
}

/// The call of a named function that begins at the start of `tokens`.
fn call(tokens: &[TokenTree]) -> Option<Call> {
    let line = tokens.first()?.span().start().line;
    let callee = match tokens {
        [TokenTree::Punct(dot), TokenTree::Ident(method), TokenTree::Group(arguments), ..] if dot.as_char() == '.' => {
            method_call(&method.to_string(), arguments)
        }
        [TokenTree::Ident(owner), TokenTree::Punct(a), TokenTree::Punct(b), TokenTree::Ident(function), ..]
            if a.as_char() == ':' && b.as_char() == ':' =>
        {
            path_call(&owner.to_string(), &function.to_string())
        }
        _ => None,
    };
    callee.map(|callee| Call { callee, line })
}

fn method_call(method: &str, arguments: &Group) -> Option<Callee> {
    match method {
        "privileged_provider" => Some(Callee::PrivilegedProvider),
        "scan" if count_arguments(arguments) == 4 => Some(Callee::Scan),
        _ => None,
    }
}

fn path_call(owner: &str, function: &str) -> Option<Callee> {
    match (owner, function) {
        ("RawTable", "privileged_provider") => Some(Callee::PrivilegedProvider),
        ("RawTable", "scan") => Some(Callee::Scan),
        ("SessionContext", function) if function.starts_with("new") => Some(Callee::SessionContext),
        _ => None,
    }
}

/// Arguments of a call, by the commas between them. Commas of generic arguments count too: none of the callees has any.
fn count_arguments(arguments: &Group) -> usize {
    let tokens: Vec<TokenTree> = arguments.stream().into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    match tokens.split_last() {
        None => 0,
        // A trailing comma begins no argument.
        Some((_, rest)) => rest.iter().filter(|token| is_comma(token)).count() + 1,
    }
}

fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if *ident == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"//! A file.
use std::fmt;

impl Widget {
    fn long(&self) -> usize
    where
        Self: Sized,
    {
        inner! { raw.privileged_provider() }
    }
    fn declared(&self);
}

fn short() { table.scan(a, b, f(1, 2), None,) }

#[cfg(test)]
mod tests {
    #[test]
    fn not_counted() {
        let c = SessionContext::new();
    }
}

fn after() { let c = SessionContext::new_with_config(x); log.scan(); }
"#;

    #[test]
    fn functions_are_measured_without_tests() {
        let outline = Outline::of(FILE).expect("parses");
        let found: Vec<_> = outline.functions.iter().map(|f| (f.name.as_str(), f.lines)).collect();
        assert_eq!(found, [("long", 6), ("short", 1), ("after", 1)]);
        assert_eq!(outline.lines_without_tests(FILE.lines().count()), FILE.lines().count() - 7);
    }

    #[test]
    fn calls_are_found_in_macros_and_not_in_tests() {
        let outline = Outline::of(FILE).expect("parses");
        let found: Vec<_> = outline.calls.iter().map(|call| (call.callee, call.line)).collect();
        assert_eq!(found, [(Callee::PrivilegedProvider, 9), (Callee::Scan, 14), (Callee::SessionContext, 24)]);
        assert!(!outline.names_raw_table);
    }

    #[test]
    fn test_modules_in_their_own_files_are_named() {
        let outline = Outline::of("mod scan; #[cfg(test)] mod testing; #[cfg(test)] mod tests { }").expect("parses");
        assert_eq!(outline.test_modules, ["testing"]);
    }

    #[test]
    fn what_is_not_rust_is_an_error() {
        assert!(Outline::of("fn broken( {").is_err());
    }
}
