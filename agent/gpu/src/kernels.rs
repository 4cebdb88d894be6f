//! The kernels of `kernels/`: typed launches. Buffers are `[rows, width]`, row-major, f32.

use crate::arguments::{Arguments, floats, int, ints};
use crate::driver::{Error, Gpu};
use crate::memory::Buffer;
use crate::weights::{Cache, Storage, Weights, padded};
use cudarc::driver::result;
use cudarc::driver::sys::{CUfunction, CUmodule};
use std::ffi::{CString, c_void};
use std::fmt;
use std::sync::Arc;

/// The PTX that `cargo xtask ptx` makes of each file of `kernels/`.
const MODULES: [&str; 4] = [
    include_str!("../ptx/attend.ptx"),
    include_str!("../ptx/product.ptx"),
    include_str!("../ptx/rows.ptx"),
    include_str!("../ptx/tile.ptx"),
];

/// Shared memory that every GPU grants a block without asking.
const SHARED_BYTES: usize = 48 << 10;

/// The widest head.
pub const HEAD_WIDTH: usize = 128;

/// The most keys that a query can attend to: their scores fill shared memory.
pub const MOST_KEYS: usize = SHARED_BYTES / 4;

/// Warps of a block of `attend`.
const ATTEND_WARPS: usize = 4;

/// Outputs of a block of `product`.
const PRODUCT_WARPS: usize = 8;

/// Rows of a block of `product`, by kernel.
const ROWS_AT_ONCE: [usize; 3] = [1, 4, 8];

/// Rows and outputs of a block of `tile`.
const TILE: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Identity = 0,
    Relu = 1,
    /// With the error function.
    Gelu = 2,
    GeluTanh = 3,
}

#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    pub gain: &'a Buffer<f32>,
    /// Of a layer norm; an RMS norm has none.
    pub bias: Option<&'a Buffer<f32>>,
    pub epsilon: f32,
}

/// What becomes of the outputs of a [`Product`].
#[derive(Debug)]
pub enum Destination<'a> {
    /// `to = act(product)`.
    Store(&'a mut Buffer<f32>, Activation),
    /// `to += product`.
    Add(&'a mut Buffer<f32>),
    /// `to = residual + product`.
    Sum {
        to: &'a mut Buffer<f32>,
        residual: &'a Buffer<f32>,
    },
    /// The weights' rows are two halves: `to = act(first) * second`.
    Gate(&'a mut Buffer<f32>, Activation),
    Split(Split<'a>),
}

/// Queries go to a buffer, keys and values to a layer of a cache at `first[row] + position[row]`.
#[derive(Debug)]
pub struct Split<'a> {
    pub queries: &'a mut Buffer<f32>,
    pub cache: &'a mut Cache,
    pub layer: usize,
    pub first: &'a Buffer<i32>,
    pub position: &'a Buffer<i32>,
}

/// A few rows, normed and scaled, by weights.
#[derive(Debug)]
pub struct Product<'a> {
    pub x: &'a Buffer<f32>,
    pub rows: usize,
    pub norm: Option<Norm<'a>>,
    /// Of the rows after the norm.
    pub factor: f32,
    /// Where the rows after norm and factor are kept, if anywhere.
    pub kept: Option<&'a mut Buffer<f32>>,
    pub weights: &'a Weights,
    /// Added to the product.
    pub bias: Option<&'a Buffer<f32>>,
    pub to: Destination<'a>,
}

/// Many rows by weights.
#[derive(Debug)]
pub struct TileProduct<'a> {
    pub x: &'a Buffer<f32>,
    pub rows: usize,
    pub weights: &'a Weights,
    /// Added to the product.
    pub bias: Option<&'a Buffer<f32>>,
    /// Rounds `x` to f16 and uses tensor cores, for weights in f16.
    pub rounds: bool,
}

/// Where keys and values are.
#[derive(Debug)]
pub enum Keys<'a> {
    /// In a layer of a cache, each place a row of keys and then values.
    Cache(&'a Cache, usize),
    /// Beside the queries.
    Projected,
}

#[derive(Debug, Clone, Copy)]
pub struct Bias<'a> {
    /// `[heads, offsets]`.
    pub values: &'a Buffer<f32>,
    pub offsets: usize,
    /// The offset of a key at the query's own position.
    pub zero: usize,
    /// Of each row's query among its keys.
    pub position: &'a Buffer<i32>,
}

/// One query for each row and head.
#[derive(Debug)]
pub struct Attention<'a> {
    /// `[rows, heads * width]`, or queries, keys and values side by side.
    pub queries: &'a Buffer<f32>,
    pub keys: Keys<'a>,
    pub rows: usize,
    pub heads: usize,
    pub width: usize,
    /// The place of each row's first key.
    pub first: &'a Buffer<i32>,
    /// Each row's number of keys, less `more`.
    pub count: &'a Buffer<i32>,
    pub more: usize,
    /// At least the number of keys of any row.
    pub most_keys: usize,
    pub bias: Option<Bias<'a>>,
}

/// The embedding of a token in each row, with its position if that has a vector.
#[derive(Debug, Clone, Copy)]
pub struct Embed<'a> {
    pub tokens: &'a Buffer<i32>,
    /// `[vocabulary, width]`, of any storage but int8.
    pub embedding: &'a Weights,
    pub rows: usize,
    /// Of the embedding.
    pub scale: f32,
    pub positions: Option<Positions<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub struct Positions<'a> {
    /// `[positions, width]`.
    pub table: &'a Buffer<f32>,
    /// Of each row.
    pub position: &'a Buffer<i32>,
}

/// Whether a feed-forward layer has a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// Sums are two halves: the second multiplies the activated first.
    Gated,
}

/// The activation of many rows.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// `[rows, width]`, or `[rows, 2 * width]` with a gate.
    pub x: &'a Buffer<f32>,
    pub rows: usize,
    pub width: usize,
    pub form: Form,
    pub activation: Activation,
}

/// One element for each row.
#[derive(Debug)]
pub struct NextTokens<'a> {
    /// The lowest id with the highest logit. A NaN is the highest.
    pub tokens: &'a mut Buffer<i32>,
    /// Its logit.
    pub best: &'a mut Buffer<f32>,
    /// Advanced by 1.
    pub position: &'a mut Buffer<i32>,
}

/// Places of a cache to copy, in every layer.
#[derive(Debug)]
pub struct Fork<'a> {
    pub copies: usize,
    pub from: &'a Buffer<i32>,
    pub to: &'a Buffer<i32>,
    pub count: &'a Buffer<i32>,
}

#[derive(Debug, Clone, Copy)]
struct Function(CUfunction);

/// A kernel for each storage of weights.
#[derive(Debug, Clone, Copy)]
struct ByStorage {
    f32: Function,
    f16: Function,
    bf16: Function,
    int8: Function,
}

impl ByStorage {
    fn of(self, storage: Storage) -> Function {
        match storage {
            Storage::F32 => self.f32,
            Storage::F16 => self.f16,
            Storage::Bf16 => self.bf16,
            Storage::Int8 => self.int8,
        }
    }
}

pub struct Kernels {
    gpu: Arc<Gpu>,
    modules: Vec<CUmodule>,
    /// As [`ROWS_AT_ONCE`].
    product: [ByStorage; 3],
    tile: ByStorage,
    tile_mma: Function,
    attend_f32: Function,
    attend_f16: Function,
    embed_f32: Function,
    embed_f16: Function,
    embed_bf16: Function,
    norm_rows: Function,
    gate: Function,
    choose: Function,
    fork: Function,
}

// Safety: handles of modules and functions, used under the same rules as `Gpu`.
#[expect(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Send for Kernels {}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernels({:?})", self.gpu)
    }
}

#[derive(Clone, Copy)]
struct Shape {
    grid: [usize; 2],
    threads: usize,
    /// Bytes.
    shared: usize,
}

/// `Epilogue` of `kernels/product.cu`.
#[derive(Clone, Copy)]
enum Epilogue {
    Store = 0,
    Add = 1,
    Split = 2,
    Gate = 3,
}

/// The words of `Output` of `kernels/product.cu`.
struct Output([u64; 8]);

impl Output {
    fn new(epilogue: Epilogue, activation: Activation, to: u64, stride: usize) -> Self {
        let kind = ints(epilogue as usize, activation as usize);
        Self([kind, to, 0, ints(stride, 0), 0, 0, 0, 0])
    }

    fn sum(to: u64, residual: u64, stride: usize) -> Self {
        let mut output = Self::new(Epilogue::Add, Activation::Identity, to, stride);
        output.0[2] = residual;
        output
    }

    fn split(split: Split<'_>, outputs: usize) -> Self {
        let Split { queries, cache, layer, first, position } = split;
        let columns = outputs - cache.width;
        let to = queries.address(0);
        let mut output = Self::new(Epilogue::Split, Activation::Identity, to, columns);
        output.0[3] = ints(columns, columns);
        output.0[4] = cache.address(layer, 0, 0);
        output.0[5] = ints(cache.width, usize::from(cache.is_half));
        output.0[6] = first.address(0);
        output.0[7] = position.address(0);
        output
    }
}

/// `Target` of `kernels/tile.cu`.
#[derive(Debug)]
struct Target {
    adds: bool,
    is_half: bool,
    to: u64,
    /// An address, or 0.
    places: u64,
}

#[expect(unsafe_code, reason = "calls into the driver's library")]
impl Kernels {
    /// Has the driver compile the kernels for the GPU.
    pub fn load(gpu: &Arc<Gpu>) -> Result<Self, Error> {
        gpu.bind()?;
        let mut modules = Vec::new();
        for text in MODULES {
            let text = CString::new(text).expect("PTX has no zero bytes");
            // Safety: the text ends with a zero and outlives the call.
            let module = unsafe { result::module::load_data(text.as_ptr().cast()) };
            modules.push(module.map_err(Error::call("cuModuleLoadData"))?);
        }
        let find = |name: &str| -> Result<Function, Error> {
            let found = modules.iter().find_map(|module| {
                let name = CString::new(name).expect("names have no zero bytes");
                // Safety: the module was loaded above.
                unsafe { result::module::get_function(*module, name) }.ok()
            });
            found.map(Function).ok_or_else(|| Error::Call {
                call: "cuModuleGetFunction",
                code: format!("no kernel {name}"),
            })
        };
        let by_storage = |name: &str, rows: &str| -> Result<ByStorage, Error> {
            Ok(ByStorage {
                f32: find(&format!("{name}_f32{rows}"))?,
                f16: find(&format!("{name}_f16{rows}"))?,
                bf16: find(&format!("{name}_bf16{rows}"))?,
                int8: find(&format!("{name}_int8{rows}"))?,
            })
        };
        Ok(Self {
            product: [
                by_storage("product", "_1")?,
                by_storage("product", "_4")?,
                by_storage("product", "_8")?,
            ],
            tile: by_storage("tile", "")?,
            tile_mma: find("tile_mma")?,
            attend_f32: find("attend_f32")?,
            attend_f16: find("attend_f16")?,
            embed_f32: find("embed_f32")?,
            embed_f16: find("embed_f16")?,
            embed_bf16: find("embed_bf16")?,
            norm_rows: find("norm_rows")?,
            gate: find("gate")?,
            choose: find("choose")?,
            fork: find("fork")?,
            gpu: Arc::clone(gpu),
            modules,
        })
    }

    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    fn launch(&self, function: Function, shape: Shape, arguments: Arguments) -> Result<(), Error> {
        let Shape { grid: [x, y], threads, shared } = shape;
        assert!(shared <= SHARED_BYTES, "{shared} bytes of shared memory");
        if x == 0 || y == 0 {
            return Ok(());
        }
        self.gpu.bind()?;
        let Arguments { mut words, starts } = arguments;
        let mut pointers: Vec<*mut c_void> = starts
            .iter()
            .map(|start| std::ptr::from_mut(&mut words[*start]).cast::<c_void>())
            .collect();
        let grid = (int(x), int(y), 1);
        // Safety: the driver reads the arguments before it returns; each is at least as long as the
        // kernel's parameter. See the crate's documentation on the memory that kernels reach.
        unsafe {
            result::launch_kernel(
                function.0,
                grid,
                (int(threads), 1, 1),
                int(shared),
                self.gpu.stream,
                &mut pointers,
            )
        }
        .map_err(Error::call("cuLaunchKernel"))
    }

    /// The widest input of a [`Product`].
    pub fn most_inputs() -> usize {
        SHARED_BYTES / 4
    }

    /// How many of `rows` a block of a [`Product`] computes: as many as there are, if shared memory
    /// holds them. Each group of so many rows reads all weights.
    pub fn rows_at_once(rows: usize, inputs: usize) -> usize {
        let fits = |at_once: usize| at_once * padded(inputs) * 4 <= SHARED_BYTES;
        match rows {
            5.. if fits(8) => 8,
            2.. if fits(4) => 4,
            _ => 1,
        }
    }

    pub fn product(&self, product: Product<'_>) -> Result<(), Error> {
        let Product { x, rows, norm, factor, kept, weights, bias, to } = product;
        assert!(rows * weights.inputs <= x.len(), "{rows} rows of {}", weights.inputs);
        let at_once = Self::rows_at_once(rows, weights.inputs);
        let place = ROWS_AT_ONCE.iter().position(|rows| *rows == at_once).expect("it is listed");
        let all = weights.outputs;
        let (outputs, output) = match to {
            Destination::Store(to, activation) => {
                (all, Output::new(Epilogue::Store, activation, to.address(0), all))
            }
            Destination::Add(to) => (all, Output::sum(to.address(0), to.address(0), all)),
            Destination::Sum { to, residual } => {
                assert!(rows * all <= residual.len(), "{rows} rows");
                (all, Output::sum(to.address(0), residual.address(0), all))
            }
            Destination::Split(split) => (all, Output::split(split, all)),
            Destination::Gate(to, activation) => {
                let outputs = all / 2;
                (outputs, Output::new(Epilogue::Gate, activation, to.address(0), outputs))
            }
        };
        if let Some(kept) = &kept {
            assert!(rows * weights.inputs <= kept.len(), "{rows} rows");
        }
        let (values, scales) = weights.addresses();
        let address = |buffer: Option<&Buffer<f32>>| buffer.map_or(0, |buffer| buffer.address(0));
        let arguments = Arguments::default()
            .word(x.address(0))
            .int(rows)
            .int(weights.inputs)
            .int(weights.padded)
            .block(&[
                address(norm.map(|norm| norm.gain)),
                address(norm.and_then(|norm| norm.bias)),
                floats(norm.map_or(0.0, |norm| norm.epsilon), factor),
                address(kept.as_deref()),
            ])
            .word(values)
            .word(scales)
            .word(address(bias))
            .int(outputs)
            .block(&output.0);
        let shape = Shape {
            grid: [outputs.div_ceil(PRODUCT_WARPS), rows.div_ceil(at_once)],
            threads: 32 * PRODUCT_WARPS,
            shared: at_once * weights.padded * 4,
        };
        self.launch(self.product[place].of(weights.storage()), shape, arguments)
    }

    fn tile(&self, product: &TileProduct<'_>, target: &Target) -> Result<(), Error> {
        let TileProduct { x, rows, weights, bias, rounds } = *product;
        assert!(rows * weights.inputs <= x.len(), "{rows} rows of {}", weights.inputs);
        let (values, scales) = weights.addresses();
        let Target { adds, is_half, to, places } = *target;
        let arguments = Arguments::default()
            .word(x.address(0))
            .int(rows)
            .int(weights.inputs)
            .int(weights.padded)
            .word(values)
            .word(scales)
            .word(bias.map_or(0, |bias| bias.address(0)))
            .int(weights.outputs)
            .block(&[ints(usize::from(adds), usize::from(is_half)), to, places]);
        let grid = [weights.outputs.div_ceil(TILE), rows.div_ceil(TILE)];
        let storage = weights.storage();
        let (function, threads) = if rounds && storage == Storage::F16 {
            (self.tile_mma, 128)
        } else {
            (self.tile.of(storage), 256)
        };
        self.launch(function, Shape { grid, threads, shared: 0 }, arguments)
    }

    pub fn tile_store(&self, product: &TileProduct<'_>, to: &mut Buffer<f32>) -> Result<(), Error> {
        assert!(product.rows * product.weights.outputs <= to.len(), "{} rows", product.rows);
        let to = to.address(0);
        self.tile(product, &Target { adds: false, is_half: false, to, places: 0 })
    }

    pub fn tile_add(&self, product: &TileProduct<'_>, to: &mut Buffer<f32>) -> Result<(), Error> {
        assert!(product.rows * product.weights.outputs <= to.len(), "{} rows", product.rows);
        let to = to.address(0);
        self.tile(product, &Target { adds: true, is_half: false, to, places: 0 })
    }

    /// Writes each row to its place of a layer of a cache.
    pub fn tile_cache(
        &self,
        product: &TileProduct<'_>,
        cache: &mut Cache,
        layer: usize,
        places: &Buffer<i32>,
    ) -> Result<(), Error> {
        assert_eq!(product.weights.outputs, cache.width, "keys and values");
        assert!(product.rows <= places.len(), "{} rows", product.rows);
        let (to, places) = (cache.address(layer, 0, 0), places.address(0));
        self.tile(product, &Target { adds: false, is_half: cache.is_half, to, places })
    }

    pub fn attend(&self, attention: &Attention<'_>, to: &mut Buffer<f32>) -> Result<(), Error> {
        let Attention { queries, rows, heads, width, .. } = *attention;
        let inner = heads * width;
        assert!(width <= HEAD_WIDTH && attention.most_keys <= MOST_KEYS, "{width} wide");
        let (query_stride, keys, values, stride, is_half) = match attention.keys {
            Keys::Cache(cache, layer) => (
                inner,
                cache.address(layer, 0, 0),
                cache.address(layer, 0, inner),
                2 * inner,
                cache.is_half,
            ),
            Keys::Projected => {
                (3 * inner, queries.address(inner), queries.address(2 * inner), 3 * inner, false)
            }
        };
        assert!(rows * query_stride <= queries.len() && rows * inner <= to.len(), "{rows} rows");
        let bias = attention.bias;
        let arguments = Arguments::default()
            .word(queries.address(0))
            .int(query_stride)
            .word(keys)
            .word(values)
            .int(stride)
            .word(attention.first.address(0))
            .word(attention.count.address(0))
            .int(attention.more)
            .word(bias.map_or(0, |bias| bias.position.address(0)))
            .word(bias.map_or(0, |bias| bias.values.address(0)))
            .int(bias.map_or(0, |bias| bias.offsets))
            .int(bias.map_or(0, |bias| bias.zero))
            .int(width)
            .word(to.address(0))
            .int(inner);
        let floats = attention.most_keys.max(ATTEND_WARPS * width);
        let shape = Shape { grid: [rows, heads], threads: 32 * ATTEND_WARPS, shared: 4 * floats };
        let function = if is_half { self.attend_f16 } else { self.attend_f32 };
        self.launch(function, shape, arguments)
    }

    pub fn embed(&self, embed: &Embed<'_>, to: &mut Buffer<f32>) -> Result<(), Error> {
        let Embed { tokens, embedding, rows, scale, positions } = *embed;
        let width = embedding.inputs;
        assert!(rows * width <= to.len() && rows <= tokens.len(), "{rows} rows");
        let function = match embedding.storage() {
            Storage::F32 => self.embed_f32,
            Storage::F16 => self.embed_f16,
            Storage::Bf16 => self.embed_bf16,
            Storage::Int8 => panic!("embeddings are not stored in int8"),
        };
        let arguments = Arguments::default()
            .word(tokens.address(0))
            .word(embedding.addresses().0)
            .int(width)
            .int(embedding.padded)
            .float(scale)
            .word(positions.map_or(0, |positions| positions.table.address(0)))
            .word(positions.map_or(0, |positions| positions.position.address(0)))
            .word(to.address(0));
        self.launch(function, Shape { grid: [rows, 1], threads: 128, shared: 0 }, arguments)
    }

    pub fn norm(
        &self,
        x: &Buffer<f32>,
        rows: usize,
        norm: Norm<'_>,
        to: &mut Buffer<f32>,
    ) -> Result<(), Error> {
        let width = norm.gain.len();
        assert!(rows * width <= x.len().min(to.len()), "{rows} rows");
        let arguments = Arguments::default()
            .word(x.address(0))
            .int(rows)
            .int(width)
            .word(norm.gain.address(0))
            .word(norm.bias.map_or(0, |bias| bias.address(0)))
            .float(norm.epsilon)
            .word(to.address(0));
        let shape = Shape { grid: [rows.div_ceil(4), 1], threads: 128, shared: 0 };
        self.launch(self.norm_rows, shape, arguments)
    }

    pub fn gate(&self, gate: &Gate<'_>, to: &mut Buffer<f32>) -> Result<(), Error> {
        let Gate { x, rows, width, form, activation } = *gate;
        let read = if form == Form::Gated { 2 * width } else { width };
        assert!(rows * read <= x.len() && rows * width <= to.len(), "{rows} rows");
        let arguments = Arguments::default()
            .word(x.address(0))
            .int(width)
            .int(usize::from(form == Form::Gated))
            .int(activation as usize)
            .word(to.address(0));
        self.launch(self.gate, Shape { grid: [rows, 1], threads: 256, shared: 0 }, arguments)
    }

    /// Finds the next token of each row of `logits`, `[rows, vocabulary]`.
    pub fn choose(
        &self,
        logits: &Buffer<f32>,
        rows: usize,
        vocabulary: usize,
        to: NextTokens<'_>,
    ) -> Result<(), Error> {
        let NextTokens { tokens, best, position } = to;
        let room = tokens.len().min(best.len()).min(position.len());
        assert!(rows * vocabulary <= logits.len() && rows <= room, "{rows} rows");
        let arguments = Arguments::default()
            .word(logits.address(0))
            .int(vocabulary)
            .word(tokens.address(0))
            .word(best.address(0))
            .word(position.address(0));
        self.launch(self.choose, Shape { grid: [rows, 1], threads: 256, shared: 0 }, arguments)
    }

    /// Copies places within each layer of a cache. Targets are no sources.
    pub fn fork(&self, cache: &mut Cache, layers: usize, fork: &Fork<'_>) -> Result<(), Error> {
        let size = if cache.is_half { 2 } else { 4 };
        let place = cache.width * size;
        assert_eq!(place % 4, 0, "places are whole words");
        let arguments = Arguments::default()
            .word(cache.address(0, 0, 0))
            .word((cache.layer_bytes() / 4) as u64)
            .int(place / 4)
            .word(fork.from.address(0))
            .word(fork.to.address(0))
            .word(fork.count.address(0));
        let shape = Shape { grid: [fork.copies, layers], threads: 256, shared: 0 };
        self.launch(self.fork, shape, arguments)
    }
}

impl Drop for Kernels {
    #[expect(unsafe_code, reason = "calls into the driver's library")]
    fn drop(&mut self) {
        if self.gpu.bind().is_err() {
            return;
        }
        for module in &self.modules {
            // Safety: nothing launches from the module any more.
            let _ = unsafe { result::module::unload(*module) };
        }
    }
}
