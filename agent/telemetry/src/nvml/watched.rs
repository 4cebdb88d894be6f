//! The GPU that infers, read for every window.

use super::Library;
use super::calls::{CALLS, Call, Pace};
use super::visible::Handle;
use crate::Occasion;
use crate::counter::Counter;
use model::telemetry::{Absence, Kind, Metric, Readings};
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, EventSet};
use std::mem::ManuallyDrop;

/// The GPU that infers.
#[derive(Debug)]
pub(crate) struct Watched {
    device: Device<'static>,
    /// The process whose memory is ours.
    pid: u32,
    calls: Vec<Watch>,
    processes: State,
    errors: Option<ManuallyDrop<EventSet<'static>>>,
    is_lost: bool,
    absences: Vec<Absence>,
}

#[derive(Debug)]
struct Watch {
    call: Call,
    counter: Counter,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Works,
    /// It was told that it doesn't, and isn't tried again.
    Unsupported,
    /// It worked before, or may work again.
    Failing,
}

impl Watched {
    /// Finds the GPU by its handle; process `pid` is ours.
    ///
    /// # Errors
    /// Why it can't be found.
    pub(super) fn find(library: &Library, handle: &Handle, pid: u32) -> Result<Self, Absence> {
        let device = match handle {
            Handle::Index(index) => library.nvml.device_by_index(*index),
            Handle::Uuid(uuid) => library.nvml.device_by_uuid(uuid.as_str()),
        };
        let device = device.map_err(|error| Absence {
            what: "gpu".to_owned(),
            reason: format!("the GPU that infers can't be opened: {error}"),
            remedy: Some("run nvidia-smi: it shows which GPUs the driver sees".to_owned()),
        })?;
        let watch =
            |call: &Call| Watch { call: *call, counter: Counter::default(), state: State::Works };
        let mut watched = Self {
            errors: errors(library, &device),
            device,
            pid,
            calls: CALLS.iter().map(watch).collect(),
            processes: State::Works,
            is_lost: false,
            absences: Vec::new(),
        };
        if watched.errors.is_none() {
            watched.lack(
                Metric::GpuXid.as_str(),
                "this GPU or its driver reports no errors as events",
            );
        }
        Ok(watched)
    }

    /// What stopped being measurable, or never was, since this was last asked.
    pub(crate) fn take_absences(&mut self) -> Vec<Absence> {
        std::mem::take(&mut self.absences)
    }

    fn lack(&mut self, what: &str, reason: &str) {
        let (what, reason) = (what.to_owned(), reason.to_owned());
        self.absences.push(Absence { what, reason, remedy: None });
    }

    /// Reads what the occasion allows. A GPU that is lost is asked once each time whether it came back.
    pub(crate) fn read(&mut self, into: &mut Readings, occasion: Occasion, is_slow_due: bool) {
        if self.is_lost {
            if self.device.memory_info().is_err() {
                return;
            }
            self.is_lost = false;
        }
        for index in 0..self.calls.len() {
            let Watch { call, state, .. } = self.calls[index];
            let is_due = match call.pace {
                Pace::Always => true,
                Pace::Slow => is_slow_due,
                Pace::Blocking => is_slow_due && occasion == Occasion::Tick,
            };
            if !is_due || state == State::Unsupported {
                continue;
            }
            match (call.read)(&self.device) {
                Ok(value) => {
                    let watch = &mut self.calls[index];
                    watch.state = State::Works;
                    let value = match call.metric.kind() {
                        Kind::Amount => watch.counter.advance(Some(value)),
                        Kind::State | Kind::Code => Some(value),
                    };
                    into.set(call.metric, value);
                }
                Err(error) => {
                    self.calls[index].state = self.failed(call.metric.as_str(), state, &error);
                    if self.is_lost {
                        return;
                    }
                }
            }
        }
        self.read_processes(into);
        self.read_errors(into);
    }

    /// Tells a failure once, and what it makes of the call.
    fn failed(&mut self, what: &str, before: State, error: &NvmlError) -> State {
        match error {
            NvmlError::NotSupported
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::NoPermission => {
                self.lack(what, &format!("this GPU and driver don't tell it: {error}"));
                State::Unsupported
            }
            NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::Uninitialized => {
                self.is_lost = true;
                self.absences.push(Absence {
                    what: "gpu".to_owned(),
                    reason: format!("the GPU is gone: {error}"),
                    remedy: Some(
                        "look into dmesg for an XID, then reset the GPU or stop and start the instance"
                            .to_owned(),
                    ),
                });
                before
            }
            _ => {
                if before == State::Works {
                    self.lack(what, &format!("the driver fails to tell it: {error}"));
                }
                State::Failing
            }
        }
    }

    /// Memory of this process, and who else computes. A container sees no processes or other numbers than its own,
    /// so that a list without ours says nothing of us.
    fn read_processes(&mut self, into: &mut Readings) {
        if self.processes == State::Unsupported {
            return;
        }
        match self.device.running_compute_processes() {
            Ok(processes) => {
                self.processes = State::Works;
                let (ours, others): (Vec<_>, Vec<_>) =
                    processes.into_iter().partition(|process| process.pid == self.pid);
                if ours.is_empty() {
                    return;
                }
                let bytes = |memory: &UsedGpuMemory| match memory {
                    UsedGpuMemory::Used(bytes) => Some(*bytes as f64),
                    UsedGpuMemory::Unavailable => None,
                };
                let used = ours.iter().map(|process| bytes(&process.used_gpu_memory));
                into.set(Metric::GpuProcessMemoryBytes, used.sum::<Option<f64>>());
                into.set(Metric::GpuOtherProcesses, others.len() as f64);
            }
            Err(error) => {
                let what = Metric::GpuProcessMemoryBytes.as_str();
                self.processes = self.failed(what, self.processes, &error);
            }
        }
    }

    /// The last error that waits; the others before it are the same fault's.
    fn read_errors(&mut self, into: &mut Readings) {
        let Some(errors) = &self.errors else { return };
        while let Ok(event) = errors.wait(0) {
            if let Some(XidError::Value(xid)) = event.event_data {
                into.set(Metric::GpuXid, xid as f64);
            }
        }
    }
}

/// Where the driver reports errors of this GPU; null where it doesn't.
fn errors(library: &Library, device: &Device<'static>) -> Option<ManuallyDrop<EventSet<'static>>> {
    // A set is freed when its registration fails, and the wrapper panics where the library can't do that.
    if library.nvml.lib().nvmlEventSetFree.is_err() {
        return None;
    }
    let set = library.nvml.create_event_set().ok()?;
    let set = device.register_events(EventTypes::CRITICAL_XID_ERROR, set).ok()?;
    Some(ManuallyDrop::new(set))
}
