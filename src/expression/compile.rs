//! From text to a checked expression.

use std::collections::HashMap;

use cel::common::ast::operators as op;
use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use regex::{Regex, RegexBuilder};

use super::{
    CompileError, MAX_CHOICES, MAX_DEPTH, MAX_LENGTH, MAX_NESTING, MAX_OPERATORS, MAX_SIGNS, Path, Program,
};
use crate::suggest::did_you_mean;

/// The largest compiled form of a `matches` pattern, in bytes.
const MAX_PATTERN_SIZE: usize = 64 * 1024;

/// The stack of the thread that parses, in bytes; four times what the largest expression allowed needs without optimisation.
const PARSER_STACK: usize = 16 << 20;

/// Operators, as the parser names them.
const OPERATORS: [&str; 18] = [
    op::CONDITIONAL,
    op::LOGICAL_AND,
    op::LOGICAL_OR,
    op::LOGICAL_NOT,
    op::SUBSTRACT,
    op::ADD,
    op::MULTIPLY,
    op::DIVIDE,
    op::MODULO,
    op::EQUALS,
    op::NOT_EQUALS,
    op::GREATER_EQUALS,
    op::LESS_EQUALS,
    op::GREATER,
    op::LESS,
    op::NEGATE,
    op::INDEX,
    op::IN,
];

/// Functions by name, whether they are called on a value (`x.f()`), and with how many arguments.
const FUNCTIONS: [(&str, bool, usize); 10] = [
    ("contains", true, 1),
    ("startsWith", true, 1),
    ("endsWith", true, 1),
    ("matches", true, 1),
    ("size", true, 0),
    ("size", false, 1),
    ("string", false, 1),
    ("int", false, 1),
    ("double", false, 1),
    ("versionCompare", false, 2),
];

/// Macros, for hints only: the parser spreads them out.
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];

pub(super) fn compile(source: &str, variables: &[&str]) -> Result<Program, CompileError> {
    measure(source)?;
    let root = parse(source)?;
    check_depth(&root)?;
    let mut check = Check {
        variables,
        locals: Vec::new(),
        paths: Vec::new(),
        patterns: HashMap::new(),
    };
    check.expression(&root)?;
    let Check { paths, patterns, .. } = check;
    Ok(Program {
        source: source.into(),
        root,
        paths,
        patterns,
    })
}

/// Reads the text on a thread of its own: the parser recurses by many and large frames for each bracket, more than a
/// server's thread has room for. Should it panic, that ends there, too.
fn parse(source: &str) -> Result<IdedExpr, CompileError> {
    let unreadable = || CompileError::Syntax {
        line: 1,
        column: 1,
        message: "the expression cannot be read".to_owned(),
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("cel-parser".to_owned())
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || {
                cel::parser::Parser::default().parse(source).map_err(|errors| {
                    errors
                        .errors
                        .first()
                        .map_or_else(unreadable, |error| CompileError::Syntax {
                            line: error.pos.0.max(1),
                            column: error.pos.1.saturating_add(1).max(1),
                            message: error.msg.clone(),
                        })
                })
            })
            .map_err(|_| unreadable())?
            .join()
            .unwrap_or_else(|_| Err(unreadable()))
    })
}

/// The bracket that closes `open`.
const fn closing(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

/// An error where `rest` of the source begins.
fn syntax_error(source: &str, rest: &str, message: String) -> CompileError {
    let before = source.strip_suffix(rest).unwrap_or(source);
    let line = before.rsplit('\n').next().unwrap_or("");
    let count = |number: usize| isize::try_from(number).unwrap_or(isize::MAX);
    CompileError::Syntax {
        line: count(before.matches('\n').count() + 1),
        column: count(line.chars().count() + 1),
        message,
    }
}

/// The length in bytes of the literal that `text` begins with, quotes included; all of it where it does not end. In a raw one nothing is escaped.
fn literal_length(text: &str, raw: bool) -> usize {
    let (quote, mut rest) = text.split_at_checked(1).unwrap_or((text, ""));
    while !rest.is_empty() && !rest.starts_with(quote) {
        let mut characters = rest.chars();
        if characters.next() == Some('\\') && !raw {
            characters.next();
        }
        rest = characters.as_str();
    }
    text.len() - rest.len() + quote.len().min(rest.len())
}

/// Refuses, before the parser recurses, what would make it recurse deeply, or look for what was meant for minutes: brackets that do not match, and
/// rows of signs.
fn measure(source: &str) -> Result<(), CompileError> {
    if source.len() > MAX_LENGTH {
        return Err(CompileError::TooLarge {
            what: "long (bytes)",
            maximum: MAX_LENGTH,
        });
    }
    let mut scale = Scale::default();
    let mut rest = source;
    let mut before = ' ';
    while let Some(character) = rest.chars().next() {
        if let Some(length) = skipped(rest, character, before) {
            scale.signs = 0;
            rest = rest.get(length..).unwrap_or("");
        } else {
            scale
                .weigh(character)
                .map_err(|message| syntax_error(source, rest, message))?;
            scale.limits_of_a_place()?;
            rest = rest.get(character.len_utf8()..).unwrap_or("");
        }
        before = character;
    }
    if let Some(open) = scale.brackets.pop() {
        return Err(syntax_error(source, rest, format!("`{open}` is not closed")));
    }
    scale.limits_of_the_whole()
}

/// The length in bytes of a literal or a comment that `rest` begins with. None: it begins with something that counts.
fn skipped(rest: &str, character: char, before: char) -> Option<usize> {
    match character {
        '"' | '\'' => Some(literal_length(rest, matches!(before, 'r' | 'R'))),
        '/' if rest.starts_with("//") => Some(rest.find('\n').unwrap_or(rest.len())),
        _ => None,
    }
}

/// What was counted in a text.
#[derive(Debug, Default)]
struct Scale {
    operators: usize,
    choices: usize,
    /// In a row, with nothing but space between them.
    signs: usize,
    /// Those that are open.
    brackets: Vec<char>,
}

impl Scale {
    /// Counts one character. The error is for people.
    fn weigh(&mut self, character: char) -> Result<(), String> {
        match character {
            '-' | '!' => self.signs += 1,
            c if c.is_whitespace() => {}
            _ => self.signs = 0,
        }
        match character {
            '(' | '[' | '{' => {
                self.brackets.push(character);
                self.operators += 1;
            }
            ')' | ']' | '}' if self.brackets.pop().map(closing) != Some(character) => {
                return Err(format!("`{character}` closes nothing"));
            }
            ')' | ']' | '}' => {}
            '?' => self.choices += 1,
            c if c.is_ascii_punctuation() && c != '_' => self.operators += 1,
            _ => {}
        }
        Ok(())
    }

    /// The limits that hold at every place of the text.
    fn limits_of_a_place(&self) -> Result<(), CompileError> {
        within("complex (signs in a row)", self.signs, MAX_SIGNS)?;
        within("nested (brackets)", self.brackets.len(), MAX_NESTING)
    }

    /// The limits that hold for the whole text.
    fn limits_of_the_whole(&self) -> Result<(), CompileError> {
        within("complex (`?`)", self.choices, MAX_CHOICES)?;
        within("complex (operators)", self.operators, MAX_OPERATORS)
    }
}

fn within(what: &'static str, count: usize, maximum: usize) -> Result<(), CompileError> {
    if count > maximum {
        return Err(CompileError::TooLarge { what, maximum });
    }
    Ok(())
}

fn check_depth(root: &IdedExpr) -> Result<(), CompileError> {
    let mut open = vec![(root, 1_usize)];
    while let Some((expression, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(CompileError::TooLarge {
                what: "deep (levels)",
                maximum: MAX_DEPTH,
            });
        }
        match &expression.expr {
            Expr::Call(call) => {
                open.extend(call.target.iter().map(|target| (&**target, depth + 1)));
                open.extend(call.args.iter().map(|argument| (argument, depth + 1)));
            }
            Expr::Comprehension(c) => {
                for part in [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result] {
                    open.push((part, depth + 1));
                }
            }
            Expr::List(list) => open.extend(list.elements.iter().map(|element| (element, depth + 1))),
            Expr::Select(select) => open.push((&select.operand, depth + 1)),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }
    Ok(())
}

struct Check<'a> {
    variables: &'a [&'a str],
    locals: Vec<&'a str>,
    paths: Vec<Path>,
    patterns: HashMap<String, Regex>,
}

impl<'a> Check<'a> {
    fn expression(&mut self, expression: &'a IdedExpr) -> Result<(), CompileError> {
        if let Some(path) = static_path(expression)
            && !self.locals.contains(&path.root.as_str())
        {
            if !self.variables.contains(&path.root.as_str()) {
                return Err(CompileError::UnknownVariable {
                    suggestion: did_you_mean(&path.root, self.variables.iter().copied()),
                    known: self.variables.join(", "),
                    name: path.root,
                });
            }
            if !self.paths.contains(&path) {
                self.paths.push(path);
            }
            return Ok(());
        }
        match &expression.expr {
            Expr::Call(call) => {
                self.function(&call.func_name, call.target.is_some(), &call.args)?;
                for part in call.target.iter().map(|target| &**target).chain(&call.args) {
                    self.expression(part)?;
                }
                Ok(())
            }
            Expr::Comprehension(c) => {
                self.expression(&c.iter_range)?;
                self.expression(&c.accu_init)?;
                if c.iter_var2.is_some() {
                    return Err(CompileError::Unsupported {
                        what: "macros with two variables",
                    });
                }
                let before = self.locals.len();
                self.locals.extend([c.iter_var.as_str(), c.accu_var.as_str()]);
                for part in [&c.loop_cond, &c.loop_step, &c.result] {
                    self.expression(part)?;
                }
                self.locals.truncate(before);
                Ok(())
            }
            Expr::List(list) if list.optional_indices.is_empty() => {
                list.elements.iter().try_for_each(|e| self.expression(e))
            }
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Literal(LiteralValue::Bytes(_)) => Err(CompileError::Unsupported { what: "bytes" }),
            Expr::Ident(_) | Expr::Literal(_) => Ok(()),
            Expr::Map(_) => Err(CompileError::Unsupported { what: "maps" }),
            Expr::Struct(_) => Err(CompileError::Unsupported { what: "messages" }),
            Expr::List(_) | Expr::Unspecified => Err(CompileError::Unsupported {
                what: "optional values",
            }),
        }
    }

    fn function(&mut self, name: &str, on_value: bool, arguments: &[IdedExpr]) -> Result<(), CompileError> {
        if OPERATORS.contains(&name) || name == op::NOT_STRICTLY_FALSE {
            return Ok(());
        }
        if !FUNCTIONS.contains(&(name, on_value, arguments.len())) {
            return Err(CompileError::UnknownFunction {
                name: name.to_owned(),
                suggestion: did_you_mean(
                    name,
                    FUNCTIONS
                        .iter()
                        .map(|(known, ..)| *known)
                        .chain(MACROS)
                        .filter(|known| *known != name),
                ),
            });
        }
        if name == "matches" {
            let Some(Expr::Literal(LiteralValue::String(pattern))) = arguments.first().map(|a| &a.expr)
            else {
                return Err(CompileError::Unsupported {
                    what: "patterns that are not written out",
                });
            };
            let pattern = pattern.inner();
            let regex = RegexBuilder::new(pattern)
                .size_limit(MAX_PATTERN_SIZE)
                .dfa_size_limit(MAX_PATTERN_SIZE)
                .nest_limit(16)
                .build()
                .map_err(|_| CompileError::Pattern {
                    pattern: pattern.to_owned(),
                })?;
            self.patterns.insert(pattern.to_owned(), regex);
        }
        Ok(())
    }
}

/// The path of a chain of `.key` and `["key"]` below a variable.
pub(super) fn static_path(expression: &IdedExpr) -> Option<Path> {
    let mut keys = Vec::new();
    let mut at = expression;
    loop {
        match &at.expr {
            Expr::Ident(root) => {
                keys.reverse();
                return Some(Path {
                    root: root.clone(),
                    keys,
                });
            }
            Expr::Select(select) => {
                keys.push(select.field.clone());
                at = &select.operand;
            }
            Expr::Call(call) if call.func_name == op::INDEX => match call.args.as_slice() {
                [operand, key] => {
                    let Expr::Literal(LiteralValue::String(key)) = &key.expr else {
                        return None;
                    };
                    keys.push(key.inner().to_owned());
                    at = operand;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
}
