//! The driver's objects by their handles, and what is done with them.

use super::code::{self, Code};
use super::devices::Device;
use super::graphs::{Capture, Exec, Node};
use super::settings::{CAPABILITY, NAME, Settings};
use crate::fault::Kind;
use crate::machine::{self, Counts, Launch, Machine};
use crate::memory;
use crate::module::{self, Module};
use crate::program::Kernel;
use crate::report::Report;
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CString, c_int};
use std::sync::Arc;
use std::time::Instant;

/// A handle as C has it, as a number.
pub(super) type Handle = usize;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) device: c_int,
    pub(super) machine: Arc<Machine>,
    /// Retains of a primary context; others have one.
    pub(super) retains: u32,
    is_primary: bool,
    /// The error that all later calls return.
    fault: Option<Code>,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) context: Handle,
    pub(super) capture: Option<Handle>,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) recorded: Option<Instant>,
    /// The capture in which it was recorded last.
    pub(super) capture: Option<Handle>,
}

#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) kernel: Arc<Kernel>,
    pub(super) ptx: (u32, u32),
    /// Shared memory that launches may ask for, in bytes.
    pub(super) most_dynamic_shared: u32,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    is_initialized: bool,
    next: Handle,
    machines: HashMap<c_int, Arc<Machine>>,
    pub(super) contexts: HashMap<Handle, Context>,
    pub(super) streams: HashMap<Handle, Stream>,
    pub(super) events: HashMap<Handle, Event>,
    pub(super) modules: HashMap<Handle, Module>,
    pub(super) functions: HashMap<Handle, Function>,
    pub(super) captures: HashMap<Handle, Capture>,
    pub(super) graphs: HashMap<Handle, Arc<Vec<Node>>>,
    pub(super) execs: HashMap<Handle, Exec>,
    /// Memory of the host that the driver allocated, as words for their alignment.
    pub(super) host: HashMap<Handle, Vec<u128>>,
    pub(super) report: Report,
    /// What is known of the last error of a kind, for `cuGetErrorString`.
    pub(super) details: HashMap<Code, CString>,
    calls: HashMap<&'static str, u64>,
}

thread_local! {
    static CURRENT: Cell<Handle> = const { Cell::new(0) };
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            is_initialized: false,
            next: 0x1000,
            machines: HashMap::new(),
            contexts: HashMap::new(),
            streams: HashMap::new(),
            events: HashMap::new(),
            modules: HashMap::new(),
            functions: HashMap::new(),
            captures: HashMap::new(),
            graphs: HashMap::new(),
            execs: HashMap::new(),
            host: HashMap::new(),
            report: Report { device: NAME, ..Report::default() },
            details: HashMap::new(),
            calls: HashMap::new(),
        }
    }

    /// Counts a call; the error if it is told to fail, or comes too early.
    pub(super) fn begin(&mut self, name: &'static str) -> Result<(), Code> {
        let calls = self.calls.entry(name).or_default();
        *calls += 1;
        let failure = self.settings.failure.as_ref();
        if let Some(failure) = failure.filter(|f| f.name == name && f.call == *calls) {
            return Err(failure.code);
        }
        if !self.is_initialized && !super::BEFORE_INIT.contains(&name) {
            return Err(code::NOT_INITIALIZED);
        }
        Ok(())
    }

    pub(super) fn initialize(&mut self) -> Result<(), Code> {
        if self.settings.devices.is_empty() {
            return Err(code::NO_DEVICE);
        }
        if !self.is_initialized {
            self.is_initialized = true;
            // SAFETY: the function is a plain one, and stays for as long as the library does.
            unsafe { libc::atexit(super::write_report) };
        }
        Ok(())
    }

    pub(super) fn handle(&mut self) -> Handle {
        self.next += 16;
        self.next
    }

    pub(super) fn device(&self, device: c_int) -> Result<&Device, Code> {
        let place = usize::try_from(device).ok();
        place.and_then(|place| self.settings.devices.get(place)).ok_or(code::INVALID_DEVICE)
    }

    fn machine(&mut self, device: c_int) -> Result<Arc<Machine>, Code> {
        let memory_bytes = self.device(device)?.memory_bytes;
        if let Some(machine) = self.machines.get(&device) {
            return Ok(machine.clone());
        }
        let machine = Machine::new(memory_bytes, self.settings.options);
        let machine = Arc::new(machine.map_err(|_| code::OUT_OF_MEMORY)?);
        self.machines.insert(device, machine.clone());
        Ok(machine)
    }

    /// A new context, or the primary one once more.
    pub(super) fn open(&mut self, device: c_int, is_primary: bool) -> Result<Handle, Code> {
        let machine = self.machine(device)?;
        let same = |context: &Context| context.is_primary && context.device == device;
        let primary = self.contexts.iter_mut().find(|(_, context)| is_primary && same(context));
        if let Some((handle, context)) = primary {
            context.retains += 1;
            return Ok(*handle);
        }
        let handle = self.handle();
        self.contexts
            .insert(handle, Context { device, machine, retains: 1, is_primary, fault: None });
        Ok(handle)
    }

    /// Releases the primary context of a device.
    pub(super) fn release(&mut self, device: c_int) -> Result<(), Code> {
        let same = |context: &Context| context.is_primary && context.device == device;
        let found = self.contexts.iter_mut().find(|(_, context)| same(context));
        let (handle, context) = found.ok_or(code::INVALID_CONTEXT)?;
        context.retains -= 1;
        let (handle, is_last) = (*handle, context.retains == 0);
        if is_last {
            self.close(handle)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, handle: Handle) -> Result<(), Code> {
        self.contexts.remove(&handle).ok_or(code::INVALID_CONTEXT)?;
        self.streams.retain(|_, stream| stream.context != handle);
        self.write_report();
        Ok(())
    }

    pub(super) fn set_current(&self, handle: Handle) -> Result<(), Code> {
        if handle != 0 && !self.contexts.contains_key(&handle) {
            return Err(code::INVALID_CONTEXT);
        }
        CURRENT.set(handle);
        Ok(())
    }

    pub(super) fn current(&self) -> Handle {
        CURRENT.get()
    }

    /// The current context, unless it has failed.
    pub(super) fn context(&self) -> Result<(Handle, &Context), Code> {
        let handle = CURRENT.get();
        let context = self.contexts.get(&handle).ok_or(code::INVALID_CONTEXT)?;
        context.fault.map_or(Ok((handle, context)), Err)
    }

    pub(super) fn device_memory(&self) -> Result<Arc<Machine>, Code> {
        Ok(self.context()?.1.machine.clone())
    }

    /// The capture of a stream, if it has one. Stream 0 never captures.
    pub(super) fn capture_of(&self, stream: Handle) -> Result<Option<Handle>, Code> {
        if stream <= 2 {
            return Ok(None);
        }
        self.streams.get(&stream).map(|stream| stream.capture).ok_or(code::INVALID_HANDLE)
    }

    /// Fails, and spoils the capture, if a stream captures: for calls that can't be captured.
    pub(super) fn not_capturing(&mut self, stream: Handle) -> Result<(), Code> {
        let Some(capture) = self.capture_of(stream)? else { return Ok(()) };
        if let Some(capture) = self.captures.get_mut(&capture) {
            capture.is_valid = false;
        }
        Err(code::CAPTURE_UNSUPPORTED)
    }

    /// Adds work to a stream: executes it, or captures it.
    pub(super) fn enqueue(&mut self, stream: Handle, node: Node) -> Result<(), Code> {
        let (context, _) = self.context()?;
        if let Some(capture) = self.capture_of(stream)? {
            let capture = self.captures.get_mut(&capture).ok_or(code::CAPTURE_INVALIDATED)?;
            if !capture.is_valid {
                return Err(code::CAPTURE_INVALIDATED);
            }
            capture.nodes.push(node);
            return Ok(());
        }
        self.execute(context, &node).map(|_| ())
    }

    /// Executes work. Faults of kernels stay in the context, and calls that follow return them.
    pub(super) fn execute(&mut self, handle: Handle, node: &Node) -> Result<Counts, Code> {
        let context = self.contexts.get(&handle).ok_or(code::INVALID_CONTEXT)?;
        let machine = context.machine.clone();
        let done = match node {
            Node::Kernel { kernel, grid, block, dynamic_shared, params } => {
                let launch = Launch {
                    kernel,
                    grid: *grid,
                    block: *block,
                    dynamic_shared: *dynamic_shared,
                    params: params.clone(),
                };
                match machine.run(&launch) {
                    Ok(counts) => {
                        self.report.add(&kernel.name, *grid, &counts);
                        return Ok(counts);
                    }
                    Err(machine::Error::Fault(fault)) => {
                        let code = match fault.kind {
                            Kind::OutOfBounds => code::ILLEGAL_ADDRESS,
                            Kind::Misaligned => code::MISALIGNED_ADDRESS,
                            Kind::Stopped => code::LAUNCH_TIMEOUT,
                            _ => code::LAUNCH_FAILED,
                        };
                        self.detail(code, fault.to_string());
                        if let Some(context) = self.contexts.get_mut(&handle) {
                            context.fault = Some(code);
                        }
                        // The launch itself was in order.
                        return Ok(Counts::default());
                    }
                    Err(error @ (machine::Error::Shared(_) | machine::Error::Threads { .. })) => {
                        self.detail(code::LAUNCH_OUT_OF_RESOURCES, error.to_string());
                        return Err(code::LAUNCH_OUT_OF_RESOURCES);
                    }
                    Err(error) => {
                        self.detail(code::INVALID_VALUE, error.to_string());
                        return Err(code::INVALID_VALUE);
                    }
                }
            }
            Node::Upload { target, source, bytes } => {
                self.report.uploaded_bytes += *bytes as u64;
                // SAFETY: the caller gave so many bytes, which a capture keeps until it is replayed.
                let source = unsafe { std::slice::from_raw_parts(*source as *const u8, *bytes) };
                machine.memory.upload(*target, source)
            }
            Node::Download { target, source, bytes } => {
                self.report.downloaded_bytes += *bytes as u64;
                // SAFETY: as above.
                let target = unsafe { std::slice::from_raw_parts_mut(*target as *mut u8, *bytes) };
                machine.memory.download(*source, target)
            }
            Node::Copy { target, source, bytes } => {
                machine.memory.copy(*target, *source, *bytes as u64)
            }
            Node::Fill { target, element, count } => {
                machine.memory.fill(*target, element, *count as u64)
            }
            Node::Free { address } => machine.memory.free(*address),
            Node::Host { function, argument } => {
                function(*argument as *mut std::ffi::c_void);
                Ok(())
            }
        };
        done.map(|()| Counts::default()).map_err(|error| {
            let code = match error {
                memory::Error::OutOfMemory => code::OUT_OF_MEMORY,
                memory::Error::Uninitialized => code::ILLEGAL_ADDRESS,
                _ => code::INVALID_VALUE,
            };
            self.detail(code, format!("{node:?}: {error}"));
            code
        })
    }

    /// Keeps the words for an error.
    pub(super) fn detail(&mut self, code: Code, what: String) {
        let text = code::texts(code).map_or("", |(_, text)| text.to_str().unwrap_or_default());
        if let Ok(text) = CString::new(format!("{text}: {what}")) {
            // Texts that were handed out stay valid.
            if let Some(old) = self.details.insert(code, text) {
                std::mem::forget(old);
            }
        }
        self.report.faults.push(what);
        self.write_report();
    }

    /// Loads a module; the text of the error is kept.
    pub(super) fn load(&mut self, text: &str) -> Result<Handle, Code> {
        let machine = self.device_memory()?;
        let newest = self.settings.newest_ptx();
        match Module::load(text, &machine.memory, newest, CAPABILITY) {
            Ok(module) => {
                let handle = self.handle();
                self.modules.insert(handle, module);
                Ok(handle)
            }
            Err(error) => {
                let code = match error {
                    module::Error::Ptx(_) => code::INVALID_PTX,
                    module::Error::Version(..) => code::UNSUPPORTED_PTX_VERSION,
                    module::Error::Target(..) => code::NO_BINARY_FOR_GPU,
                    module::Error::Memory(_) => code::OUT_OF_MEMORY,
                };
                self.detail(code, error.to_string());
                Err(code)
            }
        }
    }

    /// The report as JSON.
    pub(super) fn json(&self) -> String {
        let peaks = self.machines.values().map(|machine| machine.memory.usage().2);
        self.report.json(peaks.sum())
    }

    /// Writes the report to its file, if it has one.
    pub(super) fn write_report(&self) {
        if let Some(path) = &self.settings.report {
            // A test that reads the report finds that it isn't there.
            let _ = std::fs::write(path, self.json());
        }
    }
}
