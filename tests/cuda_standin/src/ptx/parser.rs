//! Tokens -> a module: variables, kernels, and their statements with registers resolved by scope.

use super::lexer::{Kind, Token};
use super::{Class, Error, size_of_type};
use std::collections::HashMap;

/// A parsed text.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Of the language, such as (6, 5).
    pub version: (u32, u32),
    /// Of the target, such as 75.
    pub target: u32,
    /// `.global` and `.const`.
    pub variables: Vec<Variable>,
    /// `.shared` outside kernels.
    pub shared: Vec<Shared>,
    pub entries: Vec<Entry>,
}

/// A variable of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub align: u32,
    pub bytes: u32,
    /// At most `bytes` long; the rest is zero.
    pub value: Vec<u8>,
}

/// Shared memory that a block has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    pub name: String,
    pub align: u32,
    /// None: the launch says how many.
    pub bytes: Option<u32>,
}

/// A parameter of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    pub name: String,
    pub offset: u32,
    pub bytes: u32,
}

/// A kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub name: String,
    pub params: Vec<Param>,
    /// Of `.maxntid` or `.reqntid`: most threads of a block.
    pub most_threads: Option<u32>,
    pub body: Body,
}

/// What a kernel does.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Body {
    pub statements: Vec<Statement>,
    /// The class of each register.
    pub registers: Vec<Class>,
    /// Labels and the index of the statement that follows.
    pub labels: HashMap<String, usize>,
    pub shared: Vec<Shared>,
}

/// Index of a declared register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Register(pub u32);

/// An instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub line: u32,
    /// The predicate, and whether it is negated.
    pub guard: Option<(Register, bool)>,
    /// `ld.global.f32`
    pub opcode: String,
    pub operands: Vec<Operand>,
}

/// An operand.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Register(Register),
    /// A predicate with `!`.
    Not(Register),
    /// `%tid.x`
    Special(String),
    /// In two's complement.
    Integer(u64),
    Single(u32),
    Double(u64),
    /// A label, a parameter or a variable.
    Symbol(String),
    Vector(Vec<Operand>),
    Address(Address),
    /// `%r1|%p1`
    Pair(Register, Register),
    /// `_`
    Nothing,
}

/// `[base + offset]`
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    /// A register or a symbol; none for an absolute address.
    pub base: Option<Box<Operand>>,
    pub offset: i64,
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

pub(super) fn parse(tokens: &[Token]) -> Result<Module, Error> {
    let mut module = Module {
        version: (0, 0),
        target: 0,
        variables: Vec::new(),
        shared: Vec::new(),
        entries: Vec::new(),
    };
    let mut parser = Parser { tokens, at: 0 };
    while parser.at < tokens.len() {
        let line = parser.line();
        let word = parser.word()?;
        match word.as_str() {
            ".version" => module.version = parser.version()?,
            ".target" => module.target = parser.target()?,
            ".address_size" => {
                if parser.integer()? != 64 {
                    return Err(Error::new(line, "expected `.address_size 64`"));
                }
            }
            ".visible" | ".weak" | ".extern" => {}
            ".entry" => {
                let entry = parser.entry()?;
                module.entries.push(entry);
            }
            ".shared" => module.shared.push(parser.shared()?),
            ".global" | ".const" => module.variables.push(parser.variable()?),
            other => return Err(Error::new(line, format!("unknown directive `{other}`"))),
        }
    }
    if module.version == (0, 0) {
        return Err(Error::new(1, "no `.version`: this is no PTX"));
    }
    Ok(module)
}

impl Parser<'_> {
    fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn next(&mut self) -> Result<&Kind, Error> {
        let line = self.line();
        self.at += 1;
        let token = self.tokens.get(self.at - 1);
        token.map(|token| &token.kind).ok_or_else(|| Error::new(line, "the text ends too early"))
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Kind::Sign(sign))
    }

    fn accept(&mut self, sign: char) -> bool {
        let is = self.is_sign(sign);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, sign: char) -> Result<(), Error> {
        let line = self.line();
        if self.accept(sign) {
            return Ok(());
        }
        Err(Error::new(line, format!("expected `{sign}`, found {:?}", self.peek())))
    }

    fn word(&mut self) -> Result<String, Error> {
        let line = self.line();
        match self.next()? {
            Kind::Word(word) => Ok(word.clone()),
            other => Err(Error::new(line, format!("expected a word, found {other:?}"))),
        }
    }

    fn integer(&mut self) -> Result<u64, Error> {
        let line = self.line();
        let is_negative = self.accept('-');
        match self.next()? {
            Kind::Integer(value) if is_negative => Ok(value.wrapping_neg()),
            Kind::Integer(value) => Ok(*value),
            other => Err(Error::new(line, format!("expected an integer, found {other:?}"))),
        }
    }

    fn small(&mut self) -> Result<u32, Error> {
        let line = self.line();
        u32::try_from(self.integer()?).map_err(|_| Error::new(line, "the number is too large"))
    }

    fn version(&mut self) -> Result<(u32, u32), Error> {
        let line = self.line();
        let value = match self.next()? {
            Kind::Double(bits) => format!("{:.1}", f64::from_bits(*bits)),
            other => return Err(Error::new(line, format!("expected a version, found {other:?}"))),
        };
        let (major, minor) = value.split_once('.').unwrap_or((&value, "0"));
        Ok((major.parse().unwrap_or(0), minor.parse().unwrap_or(0)))
    }

    fn target(&mut self) -> Result<u32, Error> {
        let line = self.line();
        let name = self.word()?;
        while self.accept(',') {
            self.word()?;
        }
        let number = name.strip_prefix("sm_").and_then(|number| number.parse().ok());
        number.ok_or_else(|| Error::new(line, format!("expected `.target sm_75`, found `{name}`")))
    }

    /// `.align 4 .b8 name[128]`, without what ends it: name, alignment, bytes unless the launch says them.
    fn declared(&mut self) -> Result<(String, u32, Option<u32>, u32), Error> {
        let line = self.line();
        let (mut align, mut size) = (None, 0);
        loop {
            let word = self.word()?;
            match word.as_str() {
                ".align" => align = Some(self.small()?),
                ".ptr" | ".global" | ".shared" | ".const" => {}
                word => match word.strip_prefix('.').and_then(size_of_type) {
                    Some(bytes) => size = bytes,
                    None if word.starts_with('.') => {
                        return Err(Error::new(line, format!("unknown type `{word}`")));
                    }
                    None => {
                        let mut count = Some(1);
                        while self.accept('[') {
                            if self.accept(']') {
                                count = None;
                            } else {
                                let more = self.small()?;
                                count = count.map(|count: u32| count.saturating_mul(more));
                                self.expect(']')?;
                            }
                        }
                        let bytes = count.map(|count| count.saturating_mul(size));
                        return Ok((word.to_owned(), align.unwrap_or(size).max(1), bytes, size));
                    }
                },
            }
        }
    }

    fn shared(&mut self) -> Result<Shared, Error> {
        let (name, align, bytes, _) = self.declared()?;
        self.expect(';')?;
        Ok(Shared { name, align, bytes })
    }

    fn variable(&mut self) -> Result<Variable, Error> {
        let line = self.line();
        let (name, align, bytes, size) = self.declared()?;
        let bytes = bytes.ok_or_else(|| Error::new(line, format!("`{name}` has no size")))?;
        let mut value = Vec::new();
        if self.accept('=') {
            let is_list = self.accept('{');
            loop {
                let line = self.line();
                let is_negative = self.accept('-');
                let element = match self.next()? {
                    Kind::Integer(value) if is_negative => value.wrapping_neg(),
                    Kind::Integer(value) | Kind::Double(value) => *value,
                    Kind::Single(bits) => u64::from(*bits),
                    other => {
                        return Err(Error::new(
                            line,
                            format!("unknown value {other:?} of `{name}`"),
                        ));
                    }
                };
                value.extend_from_slice(&element.to_le_bytes()[..size as usize]);
                if !self.accept(',') {
                    break;
                }
            }
            if is_list {
                self.expect('}')?;
            }
        }
        self.expect(';')?;
        if value.len() > bytes as usize {
            return Err(Error::new(line, format!("`{name}` has more values than elements")));
        }
        Ok(Variable { name, align, bytes, value })
    }

    fn entry(&mut self) -> Result<Entry, Error> {
        let name = self.word()?;
        let mut params: Vec<Param> = Vec::new();
        if self.accept('(') {
            let mut end = 0_u32;
            while !self.accept(')') {
                let line = self.line();
                if self.word()? != ".param" {
                    return Err(Error::new(line, "expected `.param`"));
                }
                let (name, align, bytes, _) = self.declared()?;
                let bytes =
                    bytes.ok_or_else(|| Error::new(line, format!("`{name}` has no size")))?;
                let offset = end.next_multiple_of(align);
                end = offset + bytes;
                params.push(Param { name, offset, bytes });
                self.accept(',');
            }
        }
        let mut most_threads = None;
        while !self.is_sign('{') {
            let line = self.line();
            let directive = self.word()?;
            let mut numbers = Vec::new();
            while matches!(self.peek(), Some(Kind::Integer(_))) {
                numbers.push(self.small()?);
                self.accept(',');
            }
            match directive.as_str() {
                ".maxntid" | ".reqntid" => most_threads = Some(numbers.iter().product()),
                ".minnctapersm" | ".maxnreg" => {}
                other => return Err(Error::new(line, format!("unknown directive `{other}`"))),
            }
        }
        let mut body = Body::default();
        let mut scopes = vec![HashMap::new()];
        self.expect('{')?;
        self.block(&mut body, &mut scopes)?;
        Ok(Entry { name, params, most_threads, body })
    }

    /// Statements up to the end of a scope.
    fn block(
        &mut self,
        body: &mut Body,
        scopes: &mut Vec<HashMap<String, Register>>,
    ) -> Result<(), Error> {
        loop {
            let line = self.line();
            if self.accept('}') {
                return Ok(());
            }
            if self.accept(';') {
                continue;
            }
            if self.accept('{') {
                scopes.push(HashMap::new());
                self.block(body, scopes)?;
                scopes.pop();
                continue;
            }
            let mut guard = None;
            if self.accept('@') {
                let is_negated = self.accept('!');
                let name = self.word()?;
                let register = find(scopes, &name);
                let register = register
                    .ok_or_else(|| Error::new(line, format!("undeclared register `{name}`")))?;
                guard = Some((register, is_negated));
            }
            let word = self.word()?;
            match word.as_str() {
                ".reg" => self.registers(body, scopes)?,
                ".shared" => {
                    let shared = self.shared()?;
                    body.shared.push(shared);
                }
                ".pragma" => {
                    self.next()?;
                    self.expect(';')?;
                }
                _ if word.starts_with('.') => {
                    return Err(Error::new(line, format!("unknown directive `{word}`")));
                }
                _ if guard.is_none() && self.accept(':') => {
                    body.labels.insert(word, body.statements.len());
                }
                _ => {
                    let mut operands = Vec::new();
                    while !self.accept(';') {
                        operands.push(self.operand(scopes)?);
                        if !self.is_sign(';') {
                            self.expect(',')?;
                        }
                    }
                    body.statements.push(Statement { line, guard, opcode: word, operands });
                }
            }
        }
    }

    fn registers(
        &mut self,
        body: &mut Body,
        scopes: &mut [HashMap<String, Register>],
    ) -> Result<(), Error> {
        let line = self.line();
        let kind = self.word()?;
        let class = kind.strip_prefix('.').and_then(Class::of_type);
        let class = class.ok_or_else(|| Error::new(line, format!("unknown type `{kind}`")))?;
        loop {
            let name = self.word()?;
            let mut names = vec![name.clone()];
            if self.accept('<') {
                let count = self.small()?;
                self.expect('>')?;
                names = (0..count).map(|index| format!("{name}{index}")).collect();
            }
            let scope = scopes.last_mut().expect("a kernel is a scope");
            for name in names {
                let index = u32::try_from(body.registers.len()).expect("below 2^32 registers");
                scope.insert(name, Register(index));
                body.registers.push(class);
            }
            if !self.accept(',') {
                break;
            }
        }
        self.expect(';')
    }

    fn operand(&mut self, scopes: &[HashMap<String, Register>]) -> Result<Operand, Error> {
        let line = self.line();
        if self.accept('{') {
            let mut parts = Vec::new();
            while !self.accept('}') {
                parts.push(self.operand(scopes)?);
                self.accept(',');
            }
            return Ok(Operand::Vector(parts));
        }
        if self.accept('[') {
            return self.address(scopes);
        }
        if self.accept('!') {
            let name = self.word()?;
            let register = find(scopes, &name);
            let register = register
                .ok_or_else(|| Error::new(line, format!("undeclared register `{name}`")))?;
            return Ok(Operand::Not(register));
        }
        let is_negative = self.accept('-');
        let operand = match self.next()?.clone() {
            Kind::Integer(value) if is_negative => Operand::Integer(value.wrapping_neg()),
            Kind::Integer(value) => Operand::Integer(value),
            Kind::Single(bits) => Operand::Single(bits),
            Kind::Double(bits) => Operand::Double(bits),
            Kind::Word(word) => named(scopes, &word, line)?,
            other => return Err(Error::new(line, format!("unexpected operand {other:?}"))),
        };
        if self.accept('|') {
            let second = self.word()?;
            let second = find(scopes, &second);
            let (Operand::Register(first), Some(second)) = (operand, second) else {
                return Err(Error::new(line, "expected two registers around `|`"));
            };
            return Ok(Operand::Pair(first, second));
        }
        Ok(operand)
    }

    /// After its bracket.
    fn address(&mut self, scopes: &[HashMap<String, Register>]) -> Result<Operand, Error> {
        let line = self.line();
        let mut address = Address { base: None, offset: 0 };
        if let Some(Kind::Word(_)) = self.peek() {
            let word = self.word()?;
            address.base = Some(Box::new(named(scopes, &word, line)?));
        }
        while !self.accept(']') {
            self.accept('+');
            address.offset = address.offset.wrapping_add(self.integer()?.cast_signed());
        }
        Ok(Operand::Address(address))
    }
}

fn find(scopes: &[HashMap<String, Register>], name: &str) -> Option<Register> {
    scopes.iter().rev().find_map(|scope| scope.get(name)).copied()
}

fn named(scopes: &[HashMap<String, Register>], word: &str, line: u32) -> Result<Operand, Error> {
    if let Some(register) = find(scopes, word) {
        return Ok(Operand::Register(register));
    }
    if word == "_" {
        return Ok(Operand::Nothing);
    }
    if SPECIAL.contains(&word) {
        return Ok(Operand::Special(word.to_owned()));
    }
    if word.starts_with('%') {
        return Err(Error::new(line, format!("undeclared register `{word}`")));
    }
    Ok(Operand::Symbol(word.to_owned()))
}

/// Registers that every thread has.
const SPECIAL: &[&str] = &[
    "%tid.x",
    "%tid.y",
    "%tid.z",
    "%ntid.x",
    "%ntid.y",
    "%ntid.z",
    "%ctaid.x",
    "%ctaid.y",
    "%ctaid.z",
    "%nctaid.x",
    "%nctaid.y",
    "%nctaid.z",
    "%laneid",
    "%warpid",
    "%lanemask_eq",
    "%lanemask_lt",
    "%lanemask_le",
    "%lanemask_gt",
    "%lanemask_ge",
];
