//! Accesses to memory, and what the lanes of a warp do together.

use super::Decoder;
use crate::program::{
    Access, Atomic, AtomicOp, Kind, NONE, Op, Product, Row, Shuffle, ShuffleKind, Space, Vote,
};
use crate::ptx::{Class, Error, Operand, Statement};

/// Modifiers of loads and stores that change neither their result nor their order here: caches, and
/// the order of a relaxed access.
const HINTS: &[&str] =
    &["ca", "cg", "cs", "lu", "cv", "wb", "wt", "volatile", "relaxed", "weak", "gpu", "cta", "sys"];

impl Decoder<'_> {
    /// Space, elements and their kind, and whether the load is `.nc`.
    fn access(
        &mut self,
        statement: &Statement,
        parts: &[&str],
        address: &Operand,
    ) -> Result<(Access, Kind), Error> {
        let (mut space, mut count, mut is_constant) = (Space::Generic, 1, false);
        let Some(kind) = parts.last().and_then(|kind| Kind::of_type(kind)) else {
            return self.unknown(statement);
        };
        for modifier in &parts[1..parts.len() - 1] {
            match *modifier {
                // Constant memory lies in global memory here.
                "global" | "const" => space = Space::Global,
                "shared" => space = Space::Shared,
                "param" => space = Space::Param,
                "v2" => count = 2,
                "v4" => count = 4,
                "nc" => is_constant = true,
                hint if HINTS.contains(&hint)
                    || hint.starts_with("L1::")
                    || hint.starts_with("L2::") => {}
                _ => return self.unknown(statement),
            }
        }
        let Operand::Address(address) = address else { return self.unknown(statement) };
        let (mut base, mut base_class, mut offset) = (NONE, Class::Long, address.offset);
        match address.base.as_deref() {
            None => {}
            Some(Operand::Register(register)) => (base_class, base) = self.register(*register),
            Some(Operand::Symbol(name)) if space == Space::Param => {
                let param = self.entry.params.iter().find(|param| param.name == *name);
                match param {
                    Some(param) => offset += i64::from(param.offset),
                    None => return self.error(format!("no parameter `{name}`")),
                }
            }
            Some(Operand::Symbol(name)) => {
                match (self.shared.get(name), self.variables.get(name)) {
                    (Some(start), _) if space == Space::Shared => offset += i64::from(*start),
                    (_, Some(start)) => offset = offset.wrapping_add(start.cast_signed()),
                    _ => return self.error(format!("unknown symbol `{name}`")),
                }
            }
            Some(other) => return self.error(format!("unknown address {other:?}")),
        }
        if base_class == Class::Predicate {
            return self.unknown(statement);
        }
        let width = kind.bytes();
        if matches!(space, Space::Global | Space::Generic) {
            self.kernel.global_granule = self.kernel.global_granule.min(width);
        }
        if matches!(space, Space::Shared | Space::Generic) {
            self.kernel.shared_granule = self.kernel.shared_granule.min(width);
        }
        let is_signed = kind.is_signed();
        let registers = [NONE; 4];
        let access = Access {
            space,
            width,
            count,
            is_signed,
            is_constant,
            base,
            base_class,
            offset,
            registers,
        };
        Ok((access, kind))
    }

    fn elements<'o>(
        &self,
        statement: &Statement,
        access: &Access,
        operand: &'o Operand,
    ) -> Result<&'o [Operand], Error> {
        let elements = match operand {
            Operand::Vector(elements) => elements.as_slice(),
            other => std::slice::from_ref(other),
        };
        if elements.len() != access.count as usize {
            return self.unknown(statement);
        }
        Ok(elements)
    }

    fn push_access(&mut self, op: Op, access: Access) {
        let index = u32::try_from(self.kernel.accesses.len()).expect("below 2^32");
        self.kernel.accesses.push(access);
        self.emit(op, [NONE; 4], index);
    }

    pub(super) fn load(&mut self, statement: &Statement, parts: &[&str]) -> Result<(), Error> {
        let [target, address] = &statement.operands[..] else { return self.unknown(statement) };
        let (mut access, kind) = self.access(statement, parts, address)?;
        let elements = self.elements(statement, &access, target)?;
        let mut widened = Vec::new();
        for (slot, element) in access.registers.iter_mut().zip(elements) {
            let class = match element {
                Operand::Register(register) => self.register(*register).0,
                Operand::Nothing => kind.class(),
                _ => return self.unknown(statement),
            };
            *slot = match element {
                Operand::Nothing => self.fresh(class)?,
                // A long register may take fewer bytes.
                _ if class == Class::Long && kind.class() == Class::Word => {
                    let word = self.fresh(Class::Word)?;
                    widened.push((self.target(element, class)?, word));
                    word
                }
                _ => self.target(element, kind.class())?,
            };
        }
        self.push_access(Op::Load, access);
        for (long, word) in widened {
            let op = Op::Widen { is_signed: access.is_signed };
            self.emit(op, [long, word, NONE, NONE], 0);
        }
        Ok(())
    }

    pub(super) fn store(&mut self, statement: &Statement, parts: &[&str]) -> Result<(), Error> {
        let [address, source] = &statement.operands[..] else { return self.unknown(statement) };
        let (mut access, kind) = self.access(statement, parts, address)?;
        if access.space == Space::Param || access.is_constant {
            return self.unknown(statement);
        }
        let elements = self.elements(statement, &access, source)?;
        let mut registers = [NONE; 4];
        for (slot, element) in registers.iter_mut().zip(elements) {
            let class = match element {
                Operand::Register(register) => self.register(*register).0,
                _ => kind.class(),
            };
            let row = self.operand(element, class)?;
            *slot = row;
            if class == Class::Long && kind.class() == Class::Word {
                *slot = self.fresh(Class::Word)?;
                self.emit(Op::Narrow, [*slot, row, NONE, NONE], 0);
            }
        }
        access.registers = registers;
        self.push_access(Op::Store, access);
        Ok(())
    }

    pub(super) fn atomic(&mut self, statement: &Statement, parts: &[&str]) -> Result<(), Error> {
        let is_reduction = parts[0] == "red";
        let (target, address, values) = match &statement.operands[..] {
            [address, values @ ..] if is_reduction => (None, address, values),
            [target, address, values @ ..] => (Some(target), address, values),
            _ => return self.unknown(statement),
        };
        let mut op = None;
        let mut rest = vec![parts[0]];
        for part in &parts[1..] {
            let found = match *part {
                "add" => AtomicOp::Add,
                "min" => AtomicOp::Min,
                "max" => AtomicOp::Max,
                "and" => AtomicOp::And,
                "or" => AtomicOp::Or,
                "xor" => AtomicOp::Xor,
                "exch" => AtomicOp::Swap,
                "cas" => AtomicOp::CompareAndSwap,
                "inc" => AtomicOp::Increment,
                "dec" => AtomicOp::Decrement,
                part => {
                    rest.push(part);
                    continue;
                }
            };
            op = Some(found);
        }
        let Some(op) = op else { return self.unknown(statement) };
        let (access, kind) = self.access(statement, &rest, address)?;
        let swaps = op == AtomicOp::CompareAndSwap;
        let is_known = access.count == 1
            && access.width >= 4
            && (!kind.is_float() || matches!(op, AtomicOp::Add | AtomicOp::Swap))
            && values.len() == 1 + usize::from(swaps);
        if !is_known {
            return self.unknown(statement);
        }
        let d = match target {
            None | Some(Operand::Nothing) => NONE,
            Some(target) => self.target(target, kind.class())?,
        };
        let a = self.operand(&values[0], kind.class())?;
        let b = if swaps { self.operand(&values[1], kind.class())? } else { NONE };
        let index = u32::try_from(self.kernel.atomics.len()).expect("below 2^32");
        self.kernel.atomics.push(Atomic { access, op, kind, d, a, b });
        self.emit(Op::Atomic, [NONE; 4], index);
        Ok(())
    }

    pub(super) fn shuffle(&mut self, statement: &Statement, parts: &[&str]) -> Result<(), Error> {
        let kind = match parts {
            ["shfl", "sync", "up", "b32"] => ShuffleKind::Up,
            ["shfl", "sync", "down", "b32"] => ShuffleKind::Down,
            ["shfl", "sync", "bfly", "b32"] => ShuffleKind::Butterfly,
            ["shfl", "sync", "idx", "b32"] => ShuffleKind::Index,
            _ => return self.unknown(statement),
        };
        let [target, a, lane, clamp, mask] = &statement.operands[..] else {
            return self.unknown(statement);
        };
        let (d, predicate) = match target {
            Operand::Pair(target, predicate) => (
                self.target(&Operand::Register(*target), Class::Word)?,
                self.predicate(&Operand::Register(*predicate))?,
            ),
            target => (self.target(target, Class::Word)?, NONE),
        };
        let (a, lane) = (self.word(a)?, self.word(lane)?);
        let (clamp, mask) = (self.word(clamp)?, self.word(mask)?);
        let index = u32::try_from(self.kernel.shuffles.len()).expect("below 2^32");
        self.kernel.shuffles.push(Shuffle { kind, d, predicate, a, lane, clamp, mask });
        self.emit(Op::Shuffle, [NONE; 4], index);
        Ok(())
    }

    pub(super) fn vote(&mut self, statement: &Statement, parts: &[&str]) -> Result<(), Error> {
        let vote = match parts {
            ["vote", "sync", "all", "pred"] => Vote::All,
            ["vote", "sync", "any", "pred"] => Vote::Any,
            ["vote", "sync", "uni", "pred"] => Vote::Uniform,
            ["vote", "sync", "ballot", "b32"] => Vote::Ballot,
            _ => return self.unknown(statement),
        };
        let [target, a, mask] = &statement.operands[..] else { return self.unknown(statement) };
        let class = if vote == Vote::Ballot { Class::Word } else { Class::Predicate };
        let a = self.condition(a)?;
        let rows = [self.target(target, class)?, a, self.word(mask)?, NONE];
        self.emit(Op::Vote(vote), rows, 0);
        Ok(())
    }

    pub(super) fn mma(&mut self, statement: &Statement) -> Result<(), Error> {
        const KNOWN: &str = "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32";
        let [Operand::Vector(d), Operand::Vector(a), b, Operand::Vector(c)] =
            &statement.operands[..]
        else {
            return self.unknown(statement);
        };
        let b = match b {
            Operand::Vector(b) if b.len() == 1 => &b[0],
            b => b,
        };
        if statement.opcode != KNOWN || d.len() != 4 || a.len() != 2 || c.len() != 4 {
            return self.unknown(statement);
        }
        let mut product = Product { d: [NONE; 4], a: [NONE; 2], b: self.word(b)?, c: [NONE; 4] };
        for (row, d) in product.d.iter_mut().zip(d) {
            *row = self.target(d, Class::Word)?;
        }
        for (row, operand) in product.a.iter_mut().chain(&mut product.c).zip(a.iter().chain(c)) {
            *row = self.word(operand)?;
        }
        let index = u32::try_from(self.kernel.products.len()).expect("below 2^32");
        self.kernel.products.push(product);
        self.emit(Op::Mma, [NONE; 4], index);
        Ok(())
    }

    pub(super) fn load_matrix(
        &mut self,
        statement: &Statement,
        parts: &[&str],
    ) -> Result<(), Error> {
        let is_transposed = parts.contains(&"trans");
        let count = match parts[4..] {
            ["x1", ..] => 1,
            ["x2", ..] => 2,
            ["x4", ..] => 4,
            _ => return self.unknown(statement),
        };
        let [target, address] = &statement.operands[..] else { return self.unknown(statement) };
        if parts[..4] != ["ldmatrix", "sync", "aligned", "m8n8"] {
            return self.unknown(statement);
        }
        let (mut access, _) = self.access(statement, &["ld", "shared", "b32"], address)?;
        // A lane reads pairs of halves: accesses are checked as such.
        self.kernel.shared_granule = self.kernel.shared_granule.min(2);
        access.count = count;
        let elements = self.elements(statement, &access, target)?;
        let mut registers: [Row; 4] = [NONE; 4];
        for (slot, element) in registers.iter_mut().zip(elements) {
            *slot = self.target(element, Class::Word)?;
        }
        access.registers = registers;
        self.push_access(Op::LoadMatrix { is_transposed }, access);
        Ok(())
    }
}
