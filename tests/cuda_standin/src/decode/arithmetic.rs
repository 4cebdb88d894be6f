//! Arithmetic, comparisons, selections and conversions.

use super::Decoder;
use crate::program::{
    Compare, Conversion, Kind, L1, L2, L3, NONE, Op, P2, Round, Row, Shift, W1, W2, W3,
};
use crate::ptx::{Class, Error, Operand, Statement};

impl Decoder<'_> {
    pub(super) fn arithmetic(
        &mut self,
        statement: &Statement,
        parts: &[&str],
    ) -> Result<(), Error> {
        let name = parts[0];
        let kind = parts[parts.len() - 1];
        let modifiers = &parts[1..parts.len() - 1];
        let has = |modifier: &str| modifiers.contains(&modifier);
        let operands = statement.operands.as_slice();
        // Those with operands of their own kind.
        match (name, operands) {
            ("mul" | "mad", _) if has("wide") => return self.wide(statement, kind),
            ("selp", [target, a, b, predicate]) => {
                let Some(class) = Class::of_type(kind) else { return self.unknown(statement) };
                let (a, b) = (self.operand(a, class)?, self.operand(b, class)?);
                let rows = [self.target(target, class)?, a, b, self.condition(predicate)?];
                let op = if class == Class::Long { Op::SelectLong } else { Op::SelectWord };
                self.emit(op, rows, 0);
                return Ok(());
            }
            ("shl" | "shr", [target, a, b]) if Class::of_type(kind) == Some(Class::Long) => {
                let shift = match (name, kind) {
                    ("shl", _) => Shift::Left,
                    (_, "s64") => Shift::RightS,
                    _ => Shift::RightU,
                };
                let rows = [self.target(target, Class::Long)?, self.long(a)?, self.word(b)?, NONE];
                self.emit(Op::ShiftLong(shift), rows, 0);
                return Ok(());
            }
            ("bfi", [target, a, b, Operand::Integer(at), Operand::Integer(length)]) => {
                let Some(class) = Class::of_type(kind) else { return self.unknown(statement) };
                let (a, b) = (self.operand(a, class)?, self.operand(b, class)?);
                let rows = [self.target(target, class)?, a, b, NONE];
                let op = if class == Class::Long { Op::InsertLong } else { Op::InsertWord };
                let imm = u32::try_from(at.min(&255) | length.min(&255) << 8);
                self.emit(op, rows, imm.expect("below 2^16"));
                return Ok(());
            }
            ("popc" | "clz" | "bfind" | "brev", [target, a]) => {
                let op = match (name, kind) {
                    ("popc", "b32") => W1::Popcount,
                    ("clz", "b32") => W1::LeadingZeros,
                    ("brev", "b32") => W1::Reverse,
                    ("bfind", "u32") if has("shiftamt") => W1::FindShift,
                    ("bfind", "u32") => W1::FindU,
                    ("bfind", "s32") if !has("shiftamt") => W1::FindS,
                    _ => return self.unknown(statement),
                };
                let rows = [self.target(target, Class::Word)?, self.word(a)?, NONE, NONE];
                self.emit(Op::W1(op), rows, 0);
                return Ok(());
            }
            ("lop3", [target, a, b, c, Operand::Integer(table)]) if kind == "b32" => {
                let rows = [
                    self.target(target, Class::Word)?,
                    self.word(a)?,
                    self.word(b)?,
                    self.word(c)?,
                ];
                self.emit(Op::W3(W3::Lop3), rows, u32::try_from(*table & 0xff).unwrap_or(0));
                return Ok(());
            }
            _ => {}
        }
        let unknown = modifiers.iter().find(|modifier| {
            !["rn", "rm", "lo", "hi", "approx", "full", "ftz", "sat", "wrap", "clamp", "l", "r"]
                .contains(modifier)
                && name != "dp4a"
        });
        if unknown.is_some() {
            return self.unknown(statement);
        }
        let op = if has("rm") {
            (name == "fma" && kind == "f32").then_some(Op::W3(W3::FmaF32Down))
        } else {
            word_op(name, modifiers, kind).or_else(|| long_op(name, modifiers, kind))
        };
        let Some(op) = op else { return self.unknown(statement) };
        let (class, count) = match op {
            Op::W1(_) => (Class::Word, 1),
            Op::W2(_) => (Class::Word, 2),
            Op::W3(_) => (Class::Word, 3),
            Op::L1(_) => (Class::Long, 1),
            Op::L2(_) => (Class::Long, 2),
            _ => (Class::Long, 3),
        };
        if operands.len() != count + 1 {
            return self.unknown(statement);
        }
        let mut rows = [self.target(&operands[0], class)?, NONE, NONE, NONE];
        for (row, operand) in rows[1..].iter_mut().zip(&operands[1..]) {
            *row = self.operand(&of_width(operand, kind), class)?;
        }
        if has("ftz") {
            for row in &mut rows[1..=count] {
                *row = self.flushed(*row)?;
            }
        }
        self.emit(op, rows, 0);
        if has("ftz") {
            self.emit(Op::W1(W1::FtzF32), [rows[0], rows[0], NONE, NONE], 0);
        }
        if has("sat") {
            if kind != "f32" {
                return self.unknown(statement);
            }
            self.emit(Op::W1(W1::SatF32), [rows[0], rows[0], NONE, NONE], 0);
        }
        Ok(())
    }

    /// A copy of an f32 whose subnormal numbers are zero.
    fn flushed(&mut self, row: Row) -> Result<Row, Error> {
        let flushed = self.fresh(Class::Word)?;
        self.emit(Op::W1(W1::FtzF32), [flushed, row, NONE, NONE], 0);
        Ok(flushed)
    }

    fn convert(&mut self, conversion: Conversion, target: Row, source: Row) {
        let index = u32::try_from(self.kernel.conversions.len()).expect("below 2^32");
        self.kernel.conversions.push(conversion);
        self.emit(Op::Convert, [target, source, NONE, NONE], index);
    }

    /// `mul.wide` and `mad.wide`.
    fn wide(&mut self, statement: &Statement, kind: &str) -> Result<(), Error> {
        let (a, b, c) = match &statement.operands[..] {
            [_, a, b] => (a, b, None),
            [_, a, b, c] => (a, b, Some(c)),
            _ => return self.unknown(statement),
        };
        let target = &statement.operands[0];
        let (a, b) = (self.word(a)?, self.word(b)?);
        match kind {
            "u32" | "s32" => {
                let c = c.map_or(Ok(NONE), |c| self.long(c))?;
                let rows = [self.target(target, Class::Long)?, a, b, c];
                let is_signed = kind == "s32";
                self.emit(Op::WideMul { is_signed, adds: c != NONE }, rows, 0);
            }
            "u16" | "s16" => {
                let target = self.target(target, Class::Word)?;
                let op = if kind == "s16" { W2::MulWideS16 } else { W2::MulWideU16 };
                let Some(c) = c else {
                    self.emit(Op::W2(op), [target, a, b, NONE], 0);
                    return Ok(());
                };
                let c = self.word(c)?;
                let product = self.fresh(Class::Word)?;
                self.emit(Op::W2(op), [product, a, b, NONE], 0);
                self.emit(Op::W2(W2::Add), [target, product, c, NONE], 0);
            }
            _ => return self.unknown(statement),
        }
        Ok(())
    }

    pub(super) fn setp(&mut self, statement: &Statement, parts: &[&str]) -> Result<(), Error> {
        let kind = parts[parts.len() - 1];
        let modifiers = &parts[1..parts.len() - 1];
        let (Some(kind), Some(compare)) =
            (Kind::of_type(kind), modifiers.first().and_then(|name| compare(name)))
        else {
            return self.unknown(statement);
        };
        let [target, a, b, ..] = &statement.operands[..] else { return self.unknown(statement) };
        let target = match target {
            Operand::Register(_) => self.predicate(target)?,
            _ => return self.unknown(statement),
        };
        let (mut a, mut b) = (self.operand(a, kind.class())?, self.operand(b, kind.class())?);
        if modifiers.contains(&"ftz") {
            (a, b) = (self.flushed(a)?, self.flushed(b)?);
        }
        let op = match kind.class() {
            Class::Long => Op::SetLong(kind, compare),
            _ => Op::SetWord(kind, compare),
        };
        let combine = modifiers.iter().find_map(|modifier| match *modifier {
            "and" => Some(P2::And),
            "or" => Some(P2::Or),
            "xor" => Some(P2::Xor),
            _ => None,
        });
        match (combine, statement.operands.get(3)) {
            (None, None) => self.emit(op, [target, a, b, NONE], 0),
            (Some(combine), Some(other)) => {
                let other = self.condition(other)?;
                let compared = self.fresh(Class::Predicate)?;
                self.emit(op, [compared, a, b, NONE], 0);
                self.emit(Op::P2(combine), [target, compared, other, NONE], 0);
            }
            _ => return self.unknown(statement),
        }
        Ok(())
    }

    pub(super) fn cvt(
        &mut self,
        statement: &Statement,
        parts: &[&str],
        target: &Operand,
        source: &Operand,
    ) -> Result<(), Error> {
        let [_, modifiers @ .., to, from] = parts else { return self.unknown(statement) };
        let (Some(to), Some(from)) = (Kind::of_type(to), Kind::of_type(from)) else {
            return self.unknown(statement);
        };
        let mut conversion = Conversion {
            from,
            to,
            round: Round::Nearest,
            is_whole: from.is_float() && !to.is_float(),
            saturates: false,
            flushes: false,
        };
        for modifier in modifiers {
            match *modifier {
                "sat" => conversion.saturates = true,
                "ftz" => conversion.flushes = true,
                "rn" => {}
                "rz" => conversion.round = Round::Zero,
                "rm" => conversion.round = Round::Down,
                "rp" => conversion.round = Round::Up,
                "rni" | "rzi" | "rmi" | "rpi" => {
                    conversion.is_whole = true;
                    conversion.round = match *modifier {
                        "rni" => Round::Nearest,
                        "rzi" => Round::Zero,
                        "rmi" => Round::Down,
                        _ => Round::Up,
                    };
                }
                _ => return self.unknown(statement),
            }
        }
        let source_row = self.operand(source, from.class())?;
        // Narrow integers may be kept in wider registers.
        let target_class = match target {
            Operand::Register(register) => self.register(*register).0,
            _ => return self.unknown(statement),
        };
        let plain = Conversion { round: Round::Nearest, is_whole: false, ..conversion }
            == Conversion {
                from,
                to,
                round: Round::Nearest,
                is_whole: false,
                saturates: false,
                flushes: false,
            };
        let fast = match (from, to) {
            (Kind::F16, Kind::F32) => Some(Op::W1(W1::F32FromF16)),
            (Kind::F32, Kind::F16) if conversion.round == Round::Nearest => {
                Some(Op::W1(W1::F16FromF32))
            }
            (Kind::S32, Kind::F32) if conversion.round == Round::Nearest => {
                Some(Op::W1(W1::F32FromS32))
            }
            (Kind::U32, Kind::F32) if conversion.round == Round::Nearest => {
                Some(Op::W1(W1::F32FromU32))
            }
            (Kind::S16, Kind::F32) => Some(Op::W1(W1::F32FromS16)),
            (Kind::S8, Kind::F32) => Some(Op::W1(W1::F32FromS8)),
            (Kind::F32, Kind::S32) if conversion.round == Round::Zero => {
                Some(Op::W1(W1::S32FromF32))
            }
            (Kind::U32 | Kind::S32, Kind::U64 | Kind::S64) => {
                Some(Op::Widen { is_signed: from == Kind::S32 })
            }
            (Kind::U64 | Kind::S64, Kind::U32 | Kind::S32) => Some(Op::Narrow),
            (Kind::U32 | Kind::S32, Kind::U32 | Kind::S32) => Some(Op::W1(W1::Mov)),
            (Kind::S8, Kind::S32 | Kind::U32) => Some(Op::W1(W1::Sext8)),
            (Kind::S8, Kind::S16 | Kind::U16) => Some(Op::W1(W1::Sext8To16)),
            (Kind::S16, Kind::S32 | Kind::U32) => Some(Op::W1(W1::Sext16)),
            (Kind::U8, Kind::S32 | Kind::U32 | Kind::S16 | Kind::U16) => Some(Op::W1(W1::Zext8)),
            (Kind::U16 | Kind::S16 | Kind::U32 | Kind::S32, Kind::U16 | Kind::S16)
            | (Kind::U16, Kind::S32 | Kind::U32) => Some(Op::W1(W1::Zext16)),
            _ => None,
        };
        if target_class != to.class() {
            // `cvt.u16.u64` and the like into a wider register don't occur in nvcc's output.
            return self.unknown(statement);
        }
        let target = self.target(target, to.class())?;
        if (from, to) == (Kind::F32, Kind::F32) && modifiers == ["sat"] {
            self.emit(Op::W1(W1::SatF32), [target, source_row, NONE, NONE], 0);
            return Ok(());
        }
        match fast.filter(|_| plain) {
            Some(op) => self.emit(op, [target, source_row, NONE, NONE], 0),
            None => self.convert(conversion, target, source_row),
        }
        Ok(())
    }
}

/// Registers of 16 bits keep the upper half zero, so their constants do as well.
pub(super) fn of_width(operand: &Operand, kind: &str) -> Operand {
    match operand {
        Operand::Integer(value) if ["b16", "u16", "s16", "f16"].contains(&kind) => {
            Operand::Integer(value & 0xffff)
        }
        other => other.clone(),
    }
}

fn compare(name: &str) -> Option<Compare> {
    Some(match name {
        "eq" => Compare::Eq,
        "ne" => Compare::Ne,
        "lt" | "lo" => Compare::Lt,
        "le" | "ls" => Compare::Le,
        "gt" | "hi" => Compare::Gt,
        "ge" | "hs" => Compare::Ge,
        "equ" => Compare::Equ,
        "neu" => Compare::Neu,
        "ltu" => Compare::Ltu,
        "leu" => Compare::Leu,
        "gtu" => Compare::Gtu,
        "geu" => Compare::Geu,
        "num" => Compare::Num,
        "nan" => Compare::Nan,
        _ => return None,
    })
}

fn word_op(name: &str, modifiers: &[&str], kind: &str) -> Option<Op> {
    let has = |modifier: &str| modifiers.contains(&modifier);
    let is_32 = ["b32", "u32", "s32"].contains(&kind);
    let is_16 = ["b16", "u16", "s16"].contains(&kind);
    let is_signed = kind.starts_with('s');
    let w1 = |op| Some(Op::W1(op));
    let w2 = |op| Some(Op::W2(op));
    let w3 = |op| Some(Op::W3(op));
    match (name, kind) {
        ("add", _) if is_32 => w2(W2::Add),
        ("sub", _) if is_32 => w2(W2::Sub),
        ("mul", _) if is_32 && has("lo") => w2(W2::Mul),
        ("mul", "u32") if has("hi") => w2(W2::MulHiU),
        ("mul", "s32") if has("hi") => w2(W2::MulHiS),
        ("mad", _) if is_32 && has("lo") => w3(W3::MadLo),
        ("mad", "u32") if has("hi") => w3(W3::MadHiU),
        ("mad", "s32") if has("hi") => w3(W3::MadHiS),
        ("div", _) if is_32 => w2(if is_signed { W2::DivS } else { W2::DivU }),
        ("rem", _) if is_32 => w2(if is_signed { W2::RemS } else { W2::RemU }),
        ("min", _) if is_32 => w2(if is_signed { W2::MinS } else { W2::MinU }),
        ("max", _) if is_32 => w2(if is_signed { W2::MaxS } else { W2::MaxU }),
        ("min", "u16") => w2(W2::MinU16),
        ("max", "u16") => w2(W2::MaxU16),
        ("min", "s16") => w2(W2::MinS16),
        ("max", "s16") => w2(W2::MaxS16),
        ("and", "b32" | "b16") => w2(W2::And),
        ("or", "b32" | "b16") => w2(W2::Or),
        ("xor", "b32" | "b16") => w2(W2::Xor),
        ("not", "b32") => w1(W1::Not),
        ("not", "b16") => w1(W1::Not16),
        ("neg", "s32") => w1(W1::NegI),
        ("neg", "s16") => w1(W1::Neg16),
        ("abs", "s32") => w1(W1::AbsI),
        ("shl", "b32") => w2(W2::Shl),
        ("shl", "b16") => w2(W2::Shl16),
        ("shr", "s32") => w2(W2::ShrS),
        ("shr", "u32" | "b32") => w2(W2::ShrU),
        ("shr", "u16" | "b16") => w2(W2::ShrU16),
        ("shr", "s16") => w2(W2::ShrS16),
        ("add", _) if is_16 => w2(W2::Add16),
        ("sub", _) if is_16 => w2(W2::Sub16),
        ("mul", _) if is_16 && has("lo") => w2(W2::Mul16),
        ("mad", _) if is_16 && has("lo") => w3(W3::Mad16),
        ("bfe", "u32") => w3(W3::ExtractU),
        ("bfe", "s32") => w3(W3::ExtractS),
        ("prmt", "b32") => w3(W3::Permute),
        ("shf", "b32") if has("wrap") => {
            w3(if has("l") { W3::FunnelLeft } else { W3::FunnelRight })
        }
        ("shf", "b32") if has("clamp") => {
            w3(if has("l") { W3::FunnelLeftClamp } else { W3::FunnelRightClamp })
        }
        ("dp4a", "s32") if modifiers == ["s32"] => w3(W3::Dp4aSS),
        ("dp4a", "u32") if modifiers == ["u32"] => w3(W3::Dp4aUU),
        ("dp4a", "u32") if modifiers == ["s32"] => w3(W3::Dp4aSU),
        ("dp4a", "s32") if modifiers == ["u32"] => w3(W3::Dp4aUS),
        ("add", "f32") => w2(W2::AddF32),
        ("sub", "f32") => w2(W2::SubF32),
        ("mul", "f32") => w2(W2::MulF32),
        ("fma" | "mad", "f32") => w3(W3::FmaF32),
        ("div", "f32") => w2(if has("approx") || has("full") { W2::DivApprox } else { W2::DivF32 }),
        ("min", "f32") => w2(W2::MinF32),
        ("max", "f32") => w2(W2::MaxF32),
        ("copysign", "f32") => w2(W2::CopySign),
        ("neg", "f32") => w1(W1::NegF32),
        ("abs", "f32") => w1(W1::AbsF32),
        ("sqrt", "f32") => w1(if has("approx") { W1::SqrtApprox } else { W1::SqrtF32 }),
        ("rcp", "f32") => w1(if has("approx") { W1::RcpApprox } else { W1::RcpF32 }),
        ("rsqrt", "f32") if has("approx") => w1(W1::RsqrtApprox),
        ("ex2", "f32") if has("approx") => w1(W1::Ex2),
        ("lg2", "f32") if has("approx") => w1(W1::Lg2),
        ("tanh", "f32") if has("approx") => w1(W1::Tanh),
        ("sin", "f32") if has("approx") => w1(W1::Sin),
        ("cos", "f32") if has("approx") => w1(W1::Cos),
        _ if has("ftz") || has("sat") => None,
        ("add", "f16") => w2(W2::AddF16),
        ("sub", "f16") => w2(W2::SubF16),
        ("mul", "f16") => w2(W2::MulF16),
        ("min", "f16") => w2(W2::MinF16),
        ("max", "f16") => w2(W2::MaxF16),
        ("fma", "f16") => w3(W3::FmaF16),
        ("neg", "f16") => w1(W1::NegF16),
        ("abs", "f16") => w1(W1::AbsF16),
        ("add", "f16x2") => w2(W2::AddF16x2),
        ("sub", "f16x2") => w2(W2::SubF16x2),
        ("mul", "f16x2") => w2(W2::MulF16x2),
        ("min", "f16x2") => w2(W2::MinF16x2),
        ("max", "f16x2") => w2(W2::MaxF16x2),
        ("fma", "f16x2") => w3(W3::FmaF16x2),
        ("neg", "f16x2") => w1(W1::NegF16x2),
        ("abs", "f16x2") => w1(W1::AbsF16x2),
        _ => None,
    }
}

fn long_op(name: &str, modifiers: &[&str], kind: &str) -> Option<Op> {
    let has = |modifier: &str| modifiers.contains(&modifier);
    if !["b64", "u64", "s64", "f64"].contains(&kind) || has("ftz") || has("sat") || has("approx") {
        return None;
    }
    let is_signed = kind.starts_with('s');
    let is_float = kind == "f64";
    Some(match name {
        "add" => Op::L2(if is_float { L2::AddF64 } else { L2::Add }),
        "sub" => Op::L2(if is_float { L2::SubF64 } else { L2::Sub }),
        "mul" if is_float => Op::L2(L2::MulF64),
        "mul" if has("lo") => Op::L2(L2::Mul),
        "mul" if has("hi") => Op::L2(if is_signed { L2::MulHiS } else { L2::MulHiU }),
        "mad" if has("lo") => Op::L3(L3::MadLo),
        "fma" if is_float => Op::L3(L3::FmaF64),
        "div" if is_float => Op::L2(L2::DivF64),
        "div" => Op::L2(if is_signed { L2::DivS } else { L2::DivU }),
        "rem" if !is_float => Op::L2(if is_signed { L2::RemS } else { L2::RemU }),
        "min" if is_float => Op::L2(L2::MinF64),
        "max" if is_float => Op::L2(L2::MaxF64),
        "min" => Op::L2(if is_signed { L2::MinS } else { L2::MinU }),
        "max" => Op::L2(if is_signed { L2::MaxS } else { L2::MaxU }),
        "and" => Op::L2(L2::And),
        "or" => Op::L2(L2::Or),
        "xor" => Op::L2(L2::Xor),
        "not" => Op::L1(L1::Not),
        "neg" => Op::L1(if is_float { L1::NegF64 } else { L1::Neg }),
        "abs" => Op::L1(if is_float { L1::AbsF64 } else { L1::AbsS }),
        "sqrt" if is_float => Op::L1(L1::SqrtF64),
        "rcp" if is_float => Op::L1(L1::RcpF64),
        _ => return None,
    })
}
