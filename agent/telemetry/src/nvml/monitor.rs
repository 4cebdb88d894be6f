//! Reads the GPU used for inference.

use super::Library;
use super::calls::{CALLS, Cadence, Call, OfInstance};
use crate::{Trigger, absence, counter::Counter};
use model::telemetry::{Absence, Kind, Metric, Readings};
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::{device::UsedGpuMemory, event::XidError};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, EventSet};
use std::mem::ManuallyDrop;

#[derive(Debug)]
pub(crate) struct GpuMonitor {
    /// A GPU, or an instance of MIG.
    device: Device<'static>,
    /// The GPU that an instance is a part of.
    parent: Option<Device<'static>>,
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
    /// Reported once, and not retried.
    Unsupported,
    /// Worked before, or may work again.
    Failing,
}

impl GpuMonitor {
    pub(super) fn find(library: &Library, uuid: &str, pid: u32) -> Result<Self, Absence> {
        let cannot = |error| {
            let reason = format!("the GPU used for inference ({uuid}) cannot be opened: {error}");
            absence("gpu", reason, Some("run nvidia-smi -L to list the GPUs of the driver"))
        };
        let device = library.nvml.device_by_uuid(uuid).map_err(cannot)?;
        let is_instance = uuid.starts_with("MIG-");
        let parent = is_instance.then(|| device.mig_parent_device()).transpose().map_err(cannot)?;
        let watch = |call: &Call| {
            let is_absent = is_instance && call.of_instance == OfInstance::Absent;
            let state = if is_absent { State::Unsupported } else { State::Works };
            Watch { call: *call, counter: Counter::default(), state }
        };
        let mut monitor = Self {
            errors: errors(library, parent.as_ref().unwrap_or(&device)),
            device,
            parent,
            pid,
            calls: CALLS.iter().map(watch).collect(),
            processes: State::Works,
            is_lost: false,
            absences: Vec::new(),
        };
        for call in CALLS.iter().filter(|_| is_instance) {
            if call.of_instance == OfInstance::Absent {
                let reason = "not measured for an instance of MIG";
                monitor.record_absence(call.metric.as_str(), reason);
            }
        }
        if monitor.errors.is_none() {
            monitor
                .record_absence(Metric::GpuXid.as_str(), "no error events from this GPU or driver");
        }
        Ok(monitor)
    }

    pub(crate) fn take_absences(&mut self) -> Vec<Absence> {
        std::mem::take(&mut self.absences)
    }

    fn record_absence(&mut self, what: &str, reason: &str) {
        self.absences.push(absence(what, reason, None));
    }

    /// Reads what the trigger allows. Checks a lost GPU once per reading.
    pub(crate) fn read(&mut self, into: &mut Readings, trigger: Trigger, is_slow_due: bool) {
        if self.is_lost {
            if self.device.memory_info().is_err() {
                return;
            }
            self.is_lost = false;
        }
        for index in 0..self.calls.len() {
            let Watch { call, state, .. } = self.calls[index];
            let is_due = match call.cadence {
                Cadence::Always => true,
                Cadence::Slow => is_slow_due,
                Cadence::Blocking => is_slow_due && trigger == Trigger::Tick,
            };
            if !is_due || state == State::Unsupported {
                continue;
            }
            let of_gpu = self.parent.as_ref().filter(|_| call.of_instance == OfInstance::Gpu);
            match (call.read)(of_gpu.unwrap_or(&self.device)) {
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

    /// Reports a failure once and returns the call's new state.
    fn failed(&mut self, what: &str, before: State, error: &NvmlError) -> State {
        match error {
            NvmlError::NotSupported
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::NoPermission => {
                self.record_absence(
                    what,
                    &format!("not supported by this GPU and driver: {error}"),
                );
                State::Unsupported
            }
            NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::Uninitialized => {
                self.is_lost = true;
                let remedy = "check dmesg for an XID, then reset the GPU or restart the instance";
                let reason = format!("the GPU was lost: {error}");
                self.absences.push(absence("gpu", reason, Some(remedy)));
                before
            }
            _ => {
                if before == State::Works {
                    self.record_absence(what, &format!("the driver failed to read it: {error}"));
                }
                State::Failing
            }
        }
    }

    /// Memory of this process, and other compute processes. Containers hide processes or renumber
    /// them, so a list without this process is ignored.
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

    /// The last pending error; earlier ones belong to the same fault.
    fn read_errors(&mut self, into: &mut Readings) {
        let Some(errors) = &self.errors else { return };
        while let Ok(event) = errors.wait(0) {
            if let Some(XidError::Value(xid)) = event.event_data {
                into.set(Metric::GpuXid, xid as f64);
            }
        }
    }
}

/// Error events of this GPU. `None` if the driver reports none.
fn errors(library: &Library, device: &Device<'static>) -> Option<ManuallyDrop<EventSet<'static>>> {
    // A failed registration frees its set, and the wrapper panics if the library cannot.
    if library.nvml.lib().nvmlEventSetFree.is_err() {
        return None;
    }
    let set = library.nvml.create_event_set().ok()?;
    let set = device.register_events(EventTypes::CRITICAL_XID_ERROR, set).ok()?;
    Some(ManuallyDrop::new(set))
}
