//! A device with one module, for tests.

use cuda_standin::fault::Fault;
use cuda_standin::machine::{Counts, Error, Launch, Machine, Options};
use cuda_standin::module::Module;

pub(crate) struct Device {
    pub(crate) machine: Machine,
    module: Module,
}

/// A buffer of the device: its address and bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffer {
    pub(crate) address: u64,
    bytes: usize,
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument {
    Buffer(Buffer),
    Word(u32),
}

impl From<Buffer> for Argument {
    fn from(buffer: Buffer) -> Self {
        Self::Buffer(buffer)
    }
}

impl From<u32> for Argument {
    fn from(word: u32) -> Self {
        Self::Word(word)
    }
}

impl Device {
    pub(crate) fn new(text: &str, options: Options) -> Self {
        let machine = Machine::new(1 << 24, options).unwrap();
        let module = Module::load(text, &machine.memory, (6, 5), 75).unwrap();
        Self { machine, module }
    }

    pub(crate) fn checks() -> Self {
        Self::new(include_str!("../../kernels/checks.ptx"), Options::default())
    }

    pub(crate) fn compute(options: Options) -> Self {
        Self::new(include_str!("../../kernels/compute.ptx"), options)
    }

    pub(crate) fn bytes(&self, bytes: &[u8]) -> Buffer {
        let buffer = self.unset(bytes.len());
        self.machine.memory.upload(buffer.address, bytes).unwrap();
        buffer
    }

    /// Memory that nothing was written to.
    pub(crate) fn unset(&self, bytes: usize) -> Buffer {
        Buffer { address: self.machine.memory.allocate(bytes as u64).unwrap(), bytes }
    }

    pub(crate) fn words(&self, words: &[u32]) -> Buffer {
        self.bytes(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
    }

    pub(crate) fn floats(&self, values: &[f32]) -> Buffer {
        self.words(&values.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
    }

    /// Padded to two to a word.
    pub(crate) fn halves(&self, halves: &[u16]) -> Buffer {
        self.bytes(&halves.iter().flat_map(|half| half.to_le_bytes()).collect::<Vec<_>>())
    }

    pub(crate) fn read(&self, buffer: Buffer) -> Vec<u8> {
        let mut bytes = vec![0; buffer.bytes];
        self.machine.memory.download(buffer.address, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn read_words(&self, buffer: Buffer) -> Vec<u32> {
        let bytes = self.read(buffer);
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    }

    pub(crate) fn read_floats(&self, buffer: Buffer) -> Vec<f32> {
        self.read_words(buffer).into_iter().map(f32::from_bits).collect()
    }

    pub(crate) fn launch(
        &self,
        name: &str,
        [blocks, threads, dynamic_shared]: [u32; 3],
        arguments: &[Argument],
    ) -> Result<Counts, Error> {
        let kernel = &self.module.kernels[name];
        let mut params = vec![0; kernel.param_bytes as usize];
        assert_eq!(kernel.params.len(), arguments.len(), "{name}");
        for ((offset, bytes), argument) in kernel.params.iter().zip(arguments) {
            let place = &mut params[*offset as usize..][..*bytes as usize];
            match argument {
                Argument::Buffer(buffer) => place.copy_from_slice(&buffer.address.to_le_bytes()),
                Argument::Word(word) => place.copy_from_slice(&word.to_le_bytes()),
            }
        }
        let (grid, block) = ([blocks, 1, 1], [threads, 1, 1]);
        self.machine.run(&Launch { kernel, grid, block, dynamic_shared, params })
    }

    pub(crate) fn run(&self, name: &str, sizes: [u32; 3], arguments: &[Argument]) -> Counts {
        self.launch(name, sizes, arguments).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The fault of a launch that must have one.
    pub(crate) fn fault(&self, name: &str, sizes: [u32; 3], arguments: &[Argument]) -> Fault {
        match self.launch(name, sizes, arguments) {
            Err(Error::Fault(fault)) => *fault,
            other => panic!("{name}: expected a fault, found {other:?}"),
        }
    }
}
