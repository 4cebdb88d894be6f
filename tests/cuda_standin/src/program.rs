//! The decoded form of a kernel: instructions over numbered registers, 32 lanes each.

use crate::ptx::Class;
use std::collections::HashMap;

/// A register: its row in the file of its class.
pub type Row = u16;

/// A kernel that can be launched.
#[derive(Debug)]
pub struct Kernel {
    pub name: String,
    /// Offset and size of each parameter, in bytes.
    pub params: Vec<(u32, u32)>,
    pub param_bytes: u32,
    /// Shared memory that every launch has, in bytes. What a launch adds follows it.
    pub shared_bytes: u32,
    /// Most threads of a block, if the kernel says so.
    pub most_threads: Option<u32>,
    pub code: Vec<Inst>,
    /// The line of each instruction.
    pub lines: Vec<u32>,
    /// Rows of 32-bit registers, 64-bit registers and predicates.
    pub words: usize,
    pub longs: usize,
    pub predicates: usize,
    /// Rows that are set before the first instruction.
    pub constants: Vec<Constant>,
    pub accesses: Vec<Access>,
    pub atomics: Vec<Atomic>,
    pub products: Vec<Product>,
    pub shuffles: Vec<Shuffle>,
    pub conversions: Vec<Conversion>,
    /// For each class, rows of registers that some path reads before it writes them.
    pub tracked: Tracked,
    /// Bytes of the narrowest access to global memory, and to shared memory.
    pub global_granule: u32,
    pub shared_granule: u32,
}

/// Registers that may be read before they are written: such reads are checked lane by lane.
#[derive(Debug, Default)]
pub struct Tracked {
    pub words: Vec<bool>,
    pub longs: Vec<bool>,
    pub predicates: Vec<bool>,
    /// The tracked registers of each instruction that has some, reads first.
    pub uses: HashMap<u32, Vec<(Class, Row, Role)>>,
}

impl Tracked {
    pub(crate) fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }
}

/// A row and what it holds from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constant {
    pub row: Row,
    pub value: Value,
}

/// What a constant row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    Word(u32),
    Long(u64),
    Special(Special),
}

/// Registers of a thread's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    /// By axis.
    Thread(u8),
    BlockSize(u8),
    Block(u8),
    GridSize(u8),
    Lane,
    Warp,
    MaskEqual,
    MaskBelow,
    MaskUpTo,
    MaskAbove,
    MaskFrom,
}

/// An instruction. What `d`, `a`, `b`, `c` and `imm` are depends on the operation.
#[derive(Debug, Clone, Copy)]
pub struct Inst {
    pub op: Op,
    pub guard: Guard,
    /// Whether it reads or writes a tracked register.
    pub is_tracked: bool,
    pub d: Row,
    pub a: Row,
    pub b: Row,
    pub c: Row,
    pub imm: u32,
}

/// The lanes that execute an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    Always,
    If(Row),
    Unless(Row),
}

/// Operations, by the classes of their registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// d = f(a), f(a, b), f(a, b, c) in words.
    W1(W1),
    W2(W2),
    W3(W3),
    /// The same in longs.
    L1(L1),
    L2(L2),
    L3(L3),
    /// Long d = long a shifted by word b.
    ShiftLong(Shift),
    /// Long d = word a * word b [+ long c].
    WideMul {
        is_signed: bool,
        adds: bool,
    },
    /// Long d = word a.
    Widen {
        is_signed: bool,
    },
    /// Word d = the lower half of long a.
    Narrow,
    /// Predicate d = word a compared with word b; and the predicate c if `imm` is 1.
    SetWord(Kind, Compare),
    SetLong(Kind, Compare),
    /// d = c ? a : b
    SelectWord,
    SelectLong,
    /// Predicates.
    P2(P2),
    NotP,
    MovP,
    /// Long d = words a and b; word d = halves a and b.
    PackLong,
    PackWord,
    /// Words d and b = long a; halves d and b = word a. Rows may be [`NONE`].
    UnpackLong,
    UnpackWord,
    /// `conversions[imm]`: d = a.
    Convert,
    /// d = b with the lower bits of a from bit `imm & 255` on, as many as `imm >> 8`.
    InsertWord,
    InsertLong,
    /// `accesses[imm]`
    Load,
    Store,
    /// `atomics[imm]`
    Atomic,
    /// `shuffles[imm]`
    Shuffle,
    /// d = predicate a over the lanes of mask b.
    Vote(Vote),
    ActiveMask,
    /// Barrier `imm` of the block.
    Barrier,
    /// Lanes of mask a.
    WarpBarrier,
    Fence,
    /// `products[imm]`
    Mma,
    /// `accesses[imm]`: ldmatrix with as many matrices as registers.
    LoadMatrix {
        is_transposed: bool,
    },
    /// To `imm`.
    Branch,
    Exit,
    Trap,
    Nop,
}

/// No register.
pub const NONE: Row = Row::MAX;

/// One operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum W1 {
    Mov,
    Not,
    NegI,
    AbsI,
    Popcount,
    LeadingZeros,
    Reverse,
    /// bfind of unsigned and signed values; -1 if there is none.
    FindU,
    FindS,
    /// The same as the shift that moves the bit to the top.
    FindShift,
    NegF32,
    AbsF32,
    FtzF32,
    /// Clamped to 0 and 1; NaN is 0.
    SatF32,
    SqrtF32,
    RcpF32,
    Ex2,
    Lg2,
    RsqrtApprox,
    SqrtApprox,
    RcpApprox,
    Tanh,
    Sin,
    Cos,
    F32FromF16,
    F16FromF32,
    F32FromS32,
    F32FromS16,
    F32FromS8,
    F32FromU32,
    S32FromF32,
    NegF16,
    AbsF16,
    NegF16x2,
    AbsF16x2,
    /// Sign or zero extension of lower bits.
    Sext8,
    Sext16,
    Zext8,
    Zext16,
    /// The same, kept in 16 bits.
    Sext8To16,
    Not16,
    Neg16,
}

/// Two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum W2 {
    Add,
    Sub,
    Mul,
    MulHiU,
    MulHiS,
    DivU,
    DivS,
    RemU,
    RemS,
    MinU,
    MaxU,
    MinS,
    MaxS,
    And,
    Or,
    Xor,
    Shl,
    ShrU,
    ShrS,
    /// In 16 bits; operands are zero-extended.
    Add16,
    Sub16,
    Mul16,
    Shl16,
    ShrU16,
    ShrS16,
    MinU16,
    MaxU16,
    MinS16,
    MaxS16,
    /// Products of 16 bits in 32.
    MulWideU16,
    MulWideS16,
    AddF32,
    SubF32,
    MulF32,
    DivF32,
    DivApprox,
    MinF32,
    MaxF32,
    CopySign,
    AddF16,
    SubF16,
    MulF16,
    MinF16,
    MaxF16,
    AddF16x2,
    SubF16x2,
    MulF16x2,
    MinF16x2,
    MaxF16x2,
}

/// Three operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum W3 {
    MadLo,
    MadHiU,
    MadHiS,
    Mad16,
    FmaF32,
    /// Rounded towards negative infinity.
    FmaF32Down,
    FmaF16,
    FmaF16x2,
    Dp4aSS,
    Dp4aUU,
    Dp4aSU,
    Dp4aUS,
    /// prmt in its default mode.
    Permute,
    /// Funnel shifts: wrapping or clamped.
    FunnelLeft,
    FunnelRight,
    FunnelLeftClamp,
    FunnelRightClamp,
    /// The table is in `imm`.
    Lop3,
    ExtractU,
    ExtractS,
}

/// One long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum L1 {
    Mov,
    Not,
    Neg,
    AbsS,
    NegF64,
    AbsF64,
    SqrtF64,
    RcpF64,
    /// Generic addresses of shared memory, and back.
    ToGenericShared,
    FromGenericShared,
}

/// Two longs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum L2 {
    Add,
    Sub,
    Mul,
    MulHiU,
    MulHiS,
    DivU,
    DivS,
    RemU,
    RemS,
    MinU,
    MaxU,
    MinS,
    MaxS,
    And,
    Or,
    Xor,
    AddF64,
    SubF64,
    MulF64,
    DivF64,
    MinF64,
    MaxF64,
}

/// Three longs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum L3 {
    MadLo,
    FmaF64,
}

/// Shifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    Left,
    RightU,
    RightS,
}

/// Two predicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum P2 {
    And,
    Or,
    Xor,
}

/// What the bits of an operand are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    U8,
    S8,
    U16,
    S16,
    U32,
    S32,
    U64,
    S64,
    F16,
    F32,
    F64,
}

impl Kind {
    /// That of a type without its dot; bits are unsigned.
    pub(crate) fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "b8" | "u8" => Self::U8,
            "s8" => Self::S8,
            "b16" | "u16" => Self::U16,
            "s16" => Self::S16,
            "b32" | "u32" => Self::U32,
            "s32" => Self::S32,
            "b64" | "u64" => Self::U64,
            "s64" => Self::S64,
            "f16" => Self::F16,
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => return None,
        })
    }

    pub(crate) const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    pub(crate) const fn is_signed(self) -> bool {
        matches!(self, Self::S8 | Self::S16 | Self::S32 | Self::S64)
    }

    pub(crate) const fn bytes(self) -> u32 {
        match self {
            Self::U8 | Self::S8 => 1,
            Self::U16 | Self::S16 | Self::F16 => 2,
            Self::U32 | Self::S32 | Self::F32 => 4,
            Self::U64 | Self::S64 | Self::F64 => 8,
        }
    }

    pub(crate) const fn class(self) -> Class {
        if self.bytes() == 8 { Class::Long } else { Class::Word }
    }
}

/// Comparisons. Those with `u` also hold if an operand is NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    /// Neither is NaN; one is.
    Num,
    Nan,
}

/// Roundings of conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    Nearest,
    Zero,
    Down,
    Up,
}

/// A conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    pub from: Kind,
    pub to: Kind,
    pub round: Round,
    /// Floats become whole numbers.
    pub is_whole: bool,
    /// Clamped to 0 and 1, or to the range of integers.
    pub saturates: bool,
    /// Subnormal numbers of f32 become zero.
    pub flushes: bool,
}

/// Address spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Global,
    Shared,
    Param,
    /// Global or shared, by the address.
    Generic,
}

/// An access to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    pub space: Space,
    /// Bytes of an element.
    pub width: u32,
    /// Elements.
    pub count: u32,
    pub is_signed: bool,
    /// Through the cache that isn't kept coherent within a launch.
    pub is_constant: bool,
    /// The register of the address and its class; [`NONE`]: only the offset.
    pub base: Row,
    pub base_class: Class,
    pub offset: i64,
    /// Longs if an element has 8 bytes.
    pub registers: [Row; 4],
}

/// An atomic operation. Operands are words or longs by `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Atomic {
    pub access: Access,
    pub op: AtomicOp,
    pub kind: Kind,
    /// [`NONE`]: a reduction.
    pub d: Row,
    pub a: Row,
    /// Of compare-and-swap.
    pub b: Row,
}

/// What an atomic operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtomicOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Swap,
    CompareAndSwap,
    Increment,
    Decrement,
}

/// A shuffle of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shuffle {
    pub kind: ShuffleKind,
    pub d: Row,
    /// Whether the source is in range; may be [`NONE`].
    pub predicate: Row,
    pub a: Row,
    pub lane: Row,
    pub clamp: Row,
    pub mask: Row,
}

/// Where a lane reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShuffleKind {
    Up,
    Down,
    Butterfly,
    Index,
}

/// Votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    All,
    Any,
    Uniform,
    /// Its result is a word.
    Ballot,
}

/// mma.m16n8k8 of f16 with sums in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    pub d: [Row; 4],
    pub a: [Row; 2],
    pub b: Row,
    pub c: [Row; 4],
}

/// Whether an instruction reads or writes a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Read,
    Write,
}
