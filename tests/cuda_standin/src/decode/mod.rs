//! A parsed kernel -> instructions. An opcode, type or operand that isn't known is an error with its line.

mod allocate;
mod arithmetic;
mod memory;

use crate::program::{
    Compare, Constant, Guard, Inst, Kernel, Kind, NONE, Op, P2, Row, Special, Tracked, Value, W1,
};
use crate::ptx::{Class, Entry, Error, Module, Operand, Register, Statement};
use std::collections::HashMap;

/// Decodes one kernel. `variables`: the addresses of the module's variables in global memory.
pub(crate) fn kernel(
    module: &Module,
    entry: &Entry,
    variables: &HashMap<String, u64>,
) -> Result<Kernel, Error> {
    let params = entry.params.iter().map(|param| (param.offset, param.bytes)).collect();
    let last = entry.params.last();
    let mut decoder = Decoder {
        kernel: Kernel {
            name: entry.name.clone(),
            params,
            param_bytes: last.map_or(0, |last| last.offset + last.bytes),
            shared_bytes: 0,
            most_threads: entry.most_threads,
            code: Vec::new(),
            lines: Vec::new(),
            words: 0,
            longs: 0,
            predicates: 0,
            constants: Vec::new(),
            accesses: Vec::new(),
            atomics: Vec::new(),
            products: Vec::new(),
            shuffles: Vec::new(),
            conversions: Vec::new(),
            tracked: Tracked::default(),
            global_granule: 8,
            shared_granule: 8,
        },
        entry,
        variables,
        registers: Vec::new(),
        constants: HashMap::new(),
        shared: HashMap::new(),
        line: 0,
        guard: Guard::Always,
    };
    decoder.lay_out_shared(module);
    for class in &entry.body.registers {
        let row = decoder.fresh(*class)?;
        decoder.registers.push((*class, row));
    }
    let mut starts = Vec::with_capacity(entry.body.statements.len() + 1);
    let mut branches = Vec::new();
    for statement in &entry.body.statements {
        starts.push(decoder.position());
        decoder.line = statement.line;
        decoder.guard = match statement.guard {
            None => Guard::Always,
            Some((register, is_negated)) => {
                let row = decoder.predicate(&Operand::Register(register))?;
                if is_negated { Guard::Unless(row) } else { Guard::If(row) }
            }
        };
        if let Some(label) = decoder.statement(statement)? {
            branches.push((decoder.position() as usize - 1, label.to_owned(), statement.line));
        }
    }
    // Falling off the end is a return.
    starts.push(decoder.position());
    decoder.guard = Guard::Always;
    decoder.emit(Op::Exit, [NONE; 4], 0);
    for (index, label, line) in branches {
        let target = entry.body.labels.get(&label);
        let target = target.ok_or_else(|| Error::new(line, format!("no label `{label}`")))?;
        decoder.kernel.code[index].imm = starts[*target];
    }
    let mut kernel = decoder.kernel;
    allocate::allocate(&mut kernel);
    Ok(kernel)
}

struct Decoder<'m> {
    kernel: Kernel,
    entry: &'m Entry,
    variables: &'m HashMap<String, u64>,
    /// Class and row of each declared register.
    registers: Vec<(Class, Row)>,
    constants: HashMap<Value, Row>,
    /// Offsets of shared variables.
    shared: HashMap<String, u32>,
    line: u32,
    guard: Guard,
}

impl Decoder<'_> {
    /// Variables of a fixed size come first; all that the launch sizes begin behind them.
    fn lay_out_shared(&mut self, module: &Module) {
        let all = || module.shared.iter().chain(&self.entry.body.shared);
        let mut end = 0_u32;
        for shared in all() {
            if let Some(bytes) = shared.bytes {
                let offset = end.next_multiple_of(shared.align);
                self.shared.insert(shared.name.clone(), offset);
                end = offset + bytes;
            }
        }
        let end = end.next_multiple_of(16);
        for shared in all().filter(|shared| shared.bytes.is_none()) {
            self.shared.insert(shared.name.clone(), end);
        }
        self.kernel.shared_bytes = end;
    }

    fn position(&self) -> u32 {
        u32::try_from(self.kernel.code.len()).expect("below 2^32 instructions")
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T, Error> {
        Err(Error::new(self.line, what))
    }

    fn fresh(&mut self, class: Class) -> Result<Row, Error> {
        let count = match class {
            Class::Predicate => &mut self.kernel.predicates,
            Class::Word => &mut self.kernel.words,
            Class::Long => &mut self.kernel.longs,
        };
        let row = Row::try_from(*count).ok().filter(|row| *row != NONE);
        *count += 1;
        match row {
            Some(row) => Ok(row),
            None => self.error("more than 65,534 registers"),
        }
    }

    fn constant(&mut self, value: Value) -> Result<Row, Error> {
        if let Some(row) = self.constants.get(&value) {
            return Ok(*row);
        }
        let is_long = matches!(value, Value::Long(_));
        let row = self.fresh(if is_long { Class::Long } else { Class::Word })?;
        self.constants.insert(value, row);
        self.kernel.constants.push(Constant { row, value });
        Ok(row)
    }

    /// Adds an instruction with registers d, a, b and c.
    fn emit(&mut self, op: Op, [d, a, b, c]: [Row; 4], imm: u32) {
        let guard = self.guard;
        self.kernel.code.push(Inst { op, guard, is_tracked: false, d, a, b, c, imm });
        self.kernel.lines.push(self.line);
    }

    fn register(&self, register: Register) -> (Class, Row) {
        self.registers[register.0 as usize]
    }

    fn of_class(&self, operand: &Operand, class: Class) -> Result<Row, Error> {
        match operand {
            Operand::Register(register) if self.register(*register).0 == class => {
                Ok(self.register(*register).1)
            }
            _ => self.error(format!("expected a register of class {class:?}, found {operand:?}")),
        }
    }

    fn predicate(&self, operand: &Operand) -> Result<Row, Error> {
        self.of_class(operand, Class::Predicate)
    }

    /// A predicate that is read: also negated, or a constant.
    fn condition(&mut self, operand: &Operand) -> Result<Row, Error> {
        match operand {
            Operand::Not(register) => {
                let (_, row) = self.register(*register);
                let inverse = self.fresh(Class::Predicate)?;
                self.emit(Op::NotP, [inverse, row, NONE, NONE], 0);
                Ok(inverse)
            }
            Operand::Integer(value) => {
                let value = self.constant(Value::Word(u32::from(*value != 0)))?;
                let zero = self.constant(Value::Word(0))?;
                let row = self.fresh(Class::Predicate)?;
                self.emit(Op::SetWord(Kind::U32, Compare::Ne), [row, value, zero, NONE], 0);
                Ok(row)
            }
            operand => self.predicate(operand),
        }
    }

    /// The row of a word: a register, a constant or the address of a shared variable.
    fn word(&mut self, operand: &Operand) -> Result<Row, Error> {
        match operand {
            Operand::Register(_) => self.of_class(operand, Class::Word),
            #[expect(clippy::cast_possible_truncation, reason = "the lower 32 bits are meant")]
            Operand::Integer(value) => self.constant(Value::Word(*value as u32)),
            Operand::Single(bits) => self.constant(Value::Word(*bits)),
            Operand::Special(name) => self.special(name),
            Operand::Symbol(name) => match self.shared.get(name) {
                Some(offset) => self.constant(Value::Word(*offset)),
                None => self.error(format!("`{name}` has no address of 32 bits")),
            },
            _ => self.error(format!("expected a 32-bit operand, found {operand:?}")),
        }
    }

    /// The row of a long: a register, a constant or an address.
    fn long(&mut self, operand: &Operand) -> Result<Row, Error> {
        match operand {
            Operand::Register(_) => self.of_class(operand, Class::Long),
            Operand::Integer(value) | Operand::Double(value) => self.constant(Value::Long(*value)),
            Operand::Symbol(name) => {
                let shared = self.shared.get(name).map(|offset| u64::from(*offset));
                match shared.or_else(|| self.variables.get(name).copied()) {
                    Some(address) => self.constant(Value::Long(address)),
                    None => self.error(format!("unknown symbol `{name}`")),
                }
            }
            _ => self.error(format!("expected a 64-bit operand, found {operand:?}")),
        }
    }

    fn operand(&mut self, operand: &Operand, class: Class) -> Result<Row, Error> {
        match class {
            Class::Word => self.word(operand),
            Class::Long => self.long(operand),
            Class::Predicate => self.condition(operand),
        }
    }

    /// The register that an instruction writes.
    fn target(&self, operand: &Operand, class: Class) -> Result<Row, Error> {
        self.of_class(operand, class)
    }

    fn special(&mut self, name: &str) -> Result<Row, Error> {
        let axis = match name.as_bytes().last() {
            Some(b'x') => 0,
            Some(b'y') => 1,
            _ => 2,
        };
        let special = match name {
            "%laneid" => Special::Lane,
            "%warpid" => Special::Warp,
            "%lanemask_eq" => Special::MaskEqual,
            "%lanemask_lt" => Special::MaskBelow,
            "%lanemask_le" => Special::MaskUpTo,
            "%lanemask_gt" => Special::MaskAbove,
            "%lanemask_ge" => Special::MaskFrom,
            _ if name.starts_with("%tid.") => Special::Thread(axis),
            _ if name.starts_with("%ntid.") => Special::BlockSize(axis),
            _ if name.starts_with("%ctaid.") => Special::Block(axis),
            _ if name.starts_with("%nctaid.") => Special::GridSize(axis),
            _ => return self.error(format!("unknown register `{name}`")),
        };
        self.constant(Value::Special(special))
    }

    fn unknown<T>(&self, statement: &Statement) -> Result<T, Error> {
        self.error(format!("unknown instruction `{}`", statement.opcode))
    }

    /// Decodes one statement; returns the label if it is a branch.
    fn statement<'s>(&mut self, statement: &'s Statement) -> Result<Option<&'s str>, Error> {
        let parts: Vec<&str> = statement.opcode.split('.').collect();
        let operands = statement.operands.as_slice();
        match (parts[0], operands) {
            ("bra", [Operand::Symbol(label)]) => {
                self.emit(Op::Branch, [NONE; 4], 0);
                return Ok(Some(label));
            }
            ("ret" | "exit", []) => self.emit(Op::Exit, [NONE; 4], 0),
            ("trap", []) => self.emit(Op::Trap, [NONE; 4], 0),
            ("membar" | "fence", []) => self.emit(Op::Fence, [NONE; 4], 0),
            ("bar" | "barrier", [Operand::Integer(barrier)])
                if parts.contains(&"sync") && !parts.contains(&"warp") =>
            {
                let barrier = u32::try_from(*barrier).unwrap_or(u32::MAX);
                self.emit(Op::Barrier, [NONE; 4], barrier);
            }
            ("bar", [mask]) if parts == ["bar", "warp", "sync"] => {
                let mask = self.word(mask)?;
                self.emit(Op::WarpBarrier, [NONE, mask, NONE, NONE], 0);
            }
            ("activemask", [target]) => {
                let target = self.target(target, Class::Word)?;
                self.emit(Op::ActiveMask, [target, NONE, NONE, NONE], 0);
            }
            ("mov", [target, source]) => self.mov(statement, &parts, target, source)?,
            ("cvta", [target, source]) => self.cvta(statement, &parts, target, source)?,
            ("and" | "or" | "xor", [target, a, b]) if parts[1] == "pred" => {
                let op = match parts[0] {
                    "and" => P2::And,
                    "or" => P2::Or,
                    _ => P2::Xor,
                };
                let rows = [self.predicate(target)?, self.predicate(a)?, self.predicate(b)?, NONE];
                self.emit(Op::P2(op), rows, 0);
            }
            ("not", [target, a]) if parts[1] == "pred" => {
                let rows = [self.predicate(target)?, self.predicate(a)?, NONE, NONE];
                self.emit(Op::NotP, rows, 0);
            }
            ("ld" | "ldu", _) => self.load(statement, &parts)?,
            ("st", _) => self.store(statement, &parts)?,
            ("atom" | "red", _) => self.atomic(statement, &parts)?,
            ("shfl", _) => self.shuffle(statement, &parts)?,
            ("vote", _) => self.vote(statement, &parts)?,
            ("mma", _) => self.mma(statement)?,
            ("ldmatrix", _) => self.load_matrix(statement, &parts)?,
            ("prefetch" | "prefetchu", _) => self.emit(Op::Nop, [NONE; 4], 0),
            ("cvt", [target, source]) => self.cvt(statement, &parts, target, source)?,
            ("setp", _) => self.setp(statement, &parts)?,
            _ => self.arithmetic(statement, &parts)?,
        }
        Ok(None)
    }

    fn mov(
        &mut self,
        statement: &Statement,
        parts: &[&str],
        target: &Operand,
        source: &Operand,
    ) -> Result<(), Error> {
        let kind = parts[parts.len() - 1];
        let Some(class) = Class::of_type(kind) else { return self.unknown(statement) };
        match (target, source) {
            (Operand::Vector(targets), source) => {
                let rows = targets.iter().map(|target| match target {
                    Operand::Nothing => Ok(NONE),
                    _ => self.target(target, Class::Word),
                });
                let rows = rows.collect::<Result<Vec<_>, _>>()?;
                let [low, high] = rows[..] else { return self.unknown(statement) };
                let source = self.operand(source, class)?;
                let op = if class == Class::Long { Op::UnpackLong } else { Op::UnpackWord };
                self.emit(op, [low, source, high, NONE], 0);
            }
            (target, Operand::Vector(sources)) => {
                let [low, high] = &sources[..] else { return self.unknown(statement) };
                let (low, high) = (self.word(low)?, self.word(high)?);
                let target = self.target(target, class)?;
                let op = if class == Class::Long { Op::PackLong } else { Op::PackWord };
                self.emit(op, [target, low, high, NONE], 0);
            }
            (target, source) => {
                let source = self.operand(&arithmetic::of_width(source, kind), class)?;
                let rows = [self.target(target, class)?, source, NONE, NONE];
                let op = match class {
                    Class::Word => Op::W1(W1::Mov),
                    Class::Long => Op::L1(crate::program::L1::Mov),
                    Class::Predicate => Op::MovP,
                };
                self.emit(op, rows, 0);
            }
        }
        Ok(())
    }

    fn cvta(
        &mut self,
        statement: &Statement,
        parts: &[&str],
        target: &Operand,
        source: &Operand,
    ) -> Result<(), Error> {
        use crate::program::L1;
        let op = match parts {
            ["cvta", "to", "global" | "const", "u64"] | ["cvta", "global" | "const", "u64"] => {
                L1::Mov
            }
            ["cvta", "to", "shared", "u64"] => L1::FromGenericShared,
            ["cvta", "shared", "u64"] => L1::ToGenericShared,
            _ => return self.unknown(statement),
        };
        let rows = [self.target(target, Class::Long)?, self.long(source)?, NONE, NONE];
        self.emit(Op::L1(op), rows, 0);
        Ok(())
    }
}
