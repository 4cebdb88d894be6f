//! The registers of an instruction, for whatever has to look at all of them.

use crate::program::{Access, Guard, Kernel, NONE, Op, Role, Row, Vote};
use crate::ptx::Class;

impl Kernel {
    /// Calls `visit` for each register of an instruction: those that are read come first.
    pub(crate) fn visit_registers(
        &mut self,
        index: usize,
        visit: &mut impl FnMut(&mut Row, Class, Role),
    ) {
        use Class::{Long, Predicate, Word};
        use Role::{Read, Write};
        let inst = &mut self.code[index];
        if let Guard::If(row) | Guard::Unless(row) = &mut inst.guard {
            visit(row, Predicate, Read);
        }
        let (a, b, c, d) = match inst.op {
            Op::W1(_) => (Some(Word), None, None, Some(Word)),
            Op::W2(_) | Op::InsertWord | Op::PackWord => (Some(Word), Some(Word), None, Some(Word)),
            Op::W3(_) => (Some(Word), Some(Word), Some(Word), Some(Word)),
            Op::L1(_) => (Some(Long), None, None, Some(Long)),
            Op::L2(_) | Op::InsertLong => (Some(Long), Some(Long), None, Some(Long)),
            Op::L3(_) => (Some(Long), Some(Long), Some(Long), Some(Long)),
            Op::ShiftLong(_) => (Some(Long), Some(Word), None, Some(Long)),
            Op::WideMul { adds, .. } => (Some(Word), Some(Word), adds.then_some(Long), Some(Long)),
            Op::Widen { .. } => (Some(Word), None, None, Some(Long)),
            Op::Narrow => (Some(Long), None, None, Some(Word)),
            Op::SetWord(..) => (Some(Word), Some(Word), None, Some(Predicate)),
            Op::SetLong(..) => (Some(Long), Some(Long), None, Some(Predicate)),
            Op::SelectWord => (Some(Word), Some(Word), Some(Predicate), Some(Word)),
            Op::SelectLong => (Some(Long), Some(Long), Some(Predicate), Some(Long)),
            Op::P2(_) => (Some(Predicate), Some(Predicate), None, Some(Predicate)),
            Op::NotP | Op::MovP => (Some(Predicate), None, None, Some(Predicate)),
            Op::PackLong => (Some(Word), Some(Word), None, Some(Long)),
            Op::UnpackLong | Op::UnpackWord => {
                let class = if inst.op == Op::UnpackLong { Long } else { Word };
                visit(&mut inst.a, class, Read);
                for row in [&mut inst.d, &mut inst.b] {
                    if *row != NONE {
                        visit(row, Word, Write);
                    }
                }
                return;
            }
            Op::Convert => {
                let conversion = self.conversions[inst.imm as usize];
                (Some(conversion.from.class()), None, None, Some(conversion.to.class()))
            }
            Op::Vote(Vote::Ballot) => (Some(Predicate), Some(Word), None, Some(Word)),
            Op::Vote(_) => (Some(Predicate), Some(Word), None, Some(Predicate)),
            Op::ActiveMask => (None, None, None, Some(Word)),
            Op::WarpBarrier => (Some(Word), None, None, None),
            Op::Load | Op::Store | Op::LoadMatrix { .. } => {
                let role = if inst.op == Op::Store { Read } else { Write };
                self.accesses[inst.imm as usize].visit(role, visit);
                return;
            }
            Op::Atomic => {
                let atomic = &mut self.atomics[inst.imm as usize];
                let class = atomic.kind.class();
                let base = atomic.access.base_class;
                for (row, class, role) in [
                    (&mut atomic.access.base, base, Read),
                    (&mut atomic.a, class, Read),
                    (&mut atomic.b, class, Read),
                    (&mut atomic.d, class, Write),
                ] {
                    if *row != NONE {
                        visit(row, class, role);
                    }
                }
                return;
            }
            Op::Shuffle => {
                let shuffle = &mut self.shuffles[inst.imm as usize];
                visit(&mut shuffle.a, Word, Read);
                visit(&mut shuffle.lane, Word, Read);
                visit(&mut shuffle.clamp, Word, Read);
                visit(&mut shuffle.mask, Word, Read);
                visit(&mut shuffle.d, Word, Write);
                if shuffle.predicate != NONE {
                    visit(&mut shuffle.predicate, Predicate, Write);
                }
                return;
            }
            Op::Mma => {
                let product = &mut self.products[inst.imm as usize];
                let read = product.a.iter_mut().chain([&mut product.b]).chain(&mut product.c);
                read.for_each(|row| visit(row, Word, Read));
                product.d.iter_mut().for_each(|row| visit(row, Word, Write));
                return;
            }
            Op::Barrier | Op::Fence | Op::Branch | Op::Exit | Op::Trap | Op::Nop => return,
        };
        for (row, class) in [(&mut inst.a, a), (&mut inst.b, b), (&mut inst.c, c)] {
            if let Some(class) = class {
                visit(row, class, Read);
            }
        }
        if let Some(class) = d {
            visit(&mut inst.d, class, Write);
        }
    }
}

impl Access {
    fn visit(&mut self, role: Role, visit: &mut impl FnMut(&mut Row, Class, Role)) {
        if self.base != NONE {
            visit(&mut self.base, self.base_class, Role::Read);
        }
        let class = if self.width == 8 { Class::Long } else { Class::Word };
        for row in &mut self.registers[..self.count as usize] {
            visit(row, class, role);
        }
    }
}
