//! A stand-in for NVIDIA's management library: its C symbols, which play the script in the file that
//! `NVML_STANDIN_SCRIPT` names. One GPU. Signatures and numbers are those of nvml.h.

#![expect(unsafe_code, reason = "C symbols take and fill raw pointers")]

pub mod script;

use script::{Point, Script};
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Names the script.
pub const SCRIPT_VARIABLE: &str = "NVML_STANDIN_SCRIPT";

const SUCCESS: c_uint = 0;
const INVALID_ARGUMENT: c_uint = 2;
const NOT_SUPPORTED: c_uint = 3;
const NOT_FOUND: c_uint = 6;
const INSUFFICIENT_SIZE: c_uint = 7;
const DRIVER_NOT_LOADED: c_uint = 9;
const TIMEOUT: c_uint = 10;
const GPU_IS_LOST: c_uint = 15;

/// Critical errors, as events have it.
const XID_EVENT: c_ulonglong = 8;
/// Power holds clocks down: software cap and external brake.
const POWER_BITS: u64 = 0x4 | 0x80;
/// Heat does: in software and in hardware.
const HEAT_BITS: u64 = 0x20 | 0x40;

/// `nvmlUtilization_t`
#[repr(C)]
#[derive(Debug)]
pub struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

/// `nvmlMemory_v2_t`
#[repr(C)]
#[derive(Debug)]
pub struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// `nvmlProcessInfo_t`
#[repr(C)]
#[derive(Debug)]
pub struct ProcessInfo {
    pid: c_uint,
    used: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// `nvmlViolationTime_t`
#[repr(C)]
#[derive(Debug)]
pub struct ViolationTime {
    reference_us: c_ulonglong,
    violation_ns: c_ulonglong,
}

/// `nvmlEventData_t`
#[repr(C)]
#[derive(Debug)]
pub struct EventData {
    device: *mut c_void,
    kind: c_ulonglong,
    data: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

struct Play {
    script: Script,
    start: Instant,
    told_xids: AtomicUsize,
}

impl Play {
    /// The script, which starts when it is first asked for.
    #[expect(
        clippy::disallowed_methods,
        reason = "a library has no other way to be told, and plays time"
    )]
    fn current() -> &'static Self {
        static PLAY: OnceLock<Play> = OnceLock::new();
        PLAY.get_or_init(|| {
            let path = std::env::var(SCRIPT_VARIABLE).ok();
            let text = path.and_then(|path| std::fs::read_to_string(path).ok());
            let script =
                text.map(|text| serde_json::from_str(&text).expect("the script can be read"));
            let script = script.unwrap_or_default();
            Play { script, start: Instant::now(), told_xids: AtomicUsize::new(0) }
        })
    }

    fn now_s(&self) -> f64 {
        let Some(file) = &self.script.clock_file else {
            return self.start.elapsed().as_secs_f64() * self.script.clock_factor;
        };
        // Until somebody plays along, it is the beginning.
        let told = std::fs::read_to_string(file).ok();
        told.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }

    fn is_dead(&self) -> bool {
        self.script.dies_at_s.is_some_and(|end| self.now_s() >= end)
    }
}

/// A number of the script for C; negative ones and fractions are cut off.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "that is the cut")]
fn whole(value: f64) -> u64 {
    value as u64
}

fn small(value: f64) -> c_uint {
    c_uint::try_from(whole(value)).unwrap_or(c_uint::MAX)
}

/// Answers a call of a family that the script may lack: fills `out` with what `value` says of the script now.
fn answer<T>(family: &str, out: *mut T, value: impl FnOnce(&Script, f64) -> T) -> c_uint {
    let play = Play::current();
    if out.is_null() {
        return INVALID_ARGUMENT;
    }
    if play.is_dead() {
        return GPU_IS_LOST;
    }
    if play.script.missing.iter().any(|missing| missing == family) {
        return NOT_SUPPORTED;
    }
    // SAFETY: the caller of a C call gives a valid place for the answer; null was checked above.
    unsafe { out.write(value(&play.script, play.now_s())) };
    SUCCESS
}

fn column(script: &Script, at_s: f64, of: fn(&Point) -> Option<f64>, otherwise: f64) -> f64 {
    script.value(at_s, of, otherwise)
}

/// Copies a text with its end into a C buffer.
fn text(value: &str, out: *mut c_char, length: c_uint) -> c_uint {
    if out.is_null() || (length as usize) <= value.len() {
        return INSUFFICIENT_SIZE;
    }
    for (index, byte) in value.bytes().chain([0]).enumerate() {
        // SAFETY: the buffer holds `length` bytes, and the text with its end is not longer.
        unsafe { out.add(index).write(byte.cast_signed()) };
    }
    SUCCESS
}

const DEVICE: *mut c_void = std::ptr::dangling_mut::<u64>().cast();

macro_rules! c_calls {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)+) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            extern "C" fn $name($($argument: $type),*) -> c_uint $body
        )+
    };
}

c_calls! {
    /// Starts the play.
    fn nvmlInit_v2() {
        if Play::current().script.is_unloaded { DRIVER_NOT_LOADED } else { SUCCESS }
    }

    /// Nothing to end.
    fn nvmlShutdown() { SUCCESS }

    /// The driver's version.
    fn nvmlSystemGetDriverVersion(out: *mut c_char, length: c_uint) {
        text(&Play::current().script.driver, out, length)
    }

    /// CUDA 13.0.
    fn nvmlSystemGetCudaDriverVersion_v2(out: *mut c_int) { answer("", out, |_, _| 13_000) }

    /// One, or none.
    fn nvmlDeviceGetCount_v2(out: *mut c_uint) {
        answer("", out, |script, _| c_uint::from(!script.is_empty))
    }

    /// The one GPU.
    fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, out: *mut *mut c_void) {
        if index == 0 { answer("", out, |_, _| DEVICE) } else { INVALID_ARGUMENT }
    }

    /// The one GPU.
    fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, out: *mut *mut c_void) {
        // SAFETY: the caller gives a text that ends.
        let wanted = unsafe { CStr::from_ptr(uuid) }.to_string_lossy();
        if Play::current().script.uuid.starts_with(&*wanted) {
            answer("", out, |_, _| DEVICE)
        } else {
            NOT_FOUND
        }
    }

    /// Its name.
    fn nvmlDeviceGetName(_device: *mut c_void, out: *mut c_char, length: c_uint) {
        text(&Play::current().script.name, out, length)
    }

    /// Its uuid.
    fn nvmlDeviceGetUUID(_device: *mut c_void, out: *mut c_char, length: c_uint) {
        text(&Play::current().script.uuid, out, length)
    }

    /// That of a T4.
    fn nvmlDeviceGetCudaComputeCapability(_device: *mut c_void, major: *mut c_int, minor: *mut c_int) {
        answer("", minor, |_, _| 5).max(answer("", major, |_, _| 7))
    }

    /// Utilization.
    fn nvmlDeviceGetUtilizationRates(_device: *mut c_void, out: *mut Utilization) {
        answer("utilization", out, |script, now| Utilization {
            gpu: small(column(script, now, |point| point.utilization_pct, 0.0)),
            memory: 0,
        })
    }

    /// Memory.
    fn nvmlDeviceGetMemoryInfo_v2(_device: *mut c_void, out: *mut Memory) {
        answer("memory", out, |script, now| {
            let bytes = |mb: f64| whole(mb * 1_048_576.0);
            let total = bytes(script.memory_mb);
            let used = bytes(column(script, now, |point| point.memory_used_mb, 300.0));
            Memory { version: 2, total, reserved: 0, free: total.saturating_sub(used), used }
        })
    }

    /// Heat.
    fn nvmlDeviceGetTemperature(_device: *mut c_void, _sensor: c_uint, out: *mut c_uint) {
        answer("temperature", out, |script, now| {
            small(column(script, now, |point| point.temperature_c, 40.0))
        })
    }

    /// Power.
    fn nvmlDeviceGetPowerUsage(_device: *mut c_void, out: *mut c_uint) {
        answer("power", out, |script, now| {
            small(column(script, now, |point| point.power_w, 10.0) * 1e3)
        })
    }

    /// Its limit.
    fn nvmlDeviceGetEnforcedPowerLimit(_device: *mut c_void, out: *mut c_uint) {
        answer("limit", out, |script, _| small(script.power_limit_w * 1e3))
    }

    /// Clocks; that of the memory stands still.
    fn nvmlDeviceGetClockInfo(_device: *mut c_void, clock: c_uint, out: *mut c_uint) {
        answer("clocks", out, |script, now| {
            if clock == 2 {
                return 5000;
            }
            small(column(script, now, |point| point.sm_mhz, 300.0))
        })
    }

    /// The fastest ones.
    fn nvmlDeviceGetMaxClockInfo(_device: *mut c_void, clock: c_uint, out: *mut c_uint) {
        answer("clocks", out, |script, _| if clock == 2 { 5001 } else { small(script.sm_max_mhz) })
    }

    /// Why clocks are held down.
    fn nvmlDeviceGetCurrentClocksThrottleReasons(_device: *mut c_void, out: *mut c_ulonglong) {
        answer("throttle", out, Script::reasons)
    }

    /// For how long they were.
    fn nvmlDeviceGetViolationStatus(_device: *mut c_void, policy: c_uint, out: *mut ViolationTime) {
        answer("violations", out, |script, now| {
            let bits = if policy == 1 { HEAT_BITS } else { POWER_BITS };
            ViolationTime {
                reference_us: whole(now * 1e6),
                violation_ns: whole(script.held(now, bits) * 1e9),
            }
        })
    }

    /// Energy since the start.
    fn nvmlDeviceGetTotalEnergyConsumption(_device: *mut c_void, out: *mut c_ulonglong) {
        answer("energy", out, |script, now| whole(script.energy(now) * 1e3))
    }

    /// Memory errors: none.
    fn nvmlDeviceGetTotalEccErrors(
        _device: *mut c_void,
        _kind: c_uint,
        _counter: c_uint,
        out: *mut c_ulonglong,
    ) {
        answer("ecc", out, |_, _| 0)
    }

    /// They are corrected.
    fn nvmlDeviceGetEccMode(_device: *mut c_void, current: *mut c_uint, pending: *mut c_uint) {
        answer("ecc", pending, |_, _| 1).max(answer("ecc", current, |_, _| 1))
    }

    /// A little.
    fn nvmlDeviceGetPcieThroughput(_device: *mut c_void, _counter: c_uint, out: *mut c_uint) {
        answer("pcie", out, |_, _| 1200)
    }

    /// None.
    fn nvmlDeviceGetPcieReplayCounter(_device: *mut c_void, out: *mut c_uint) {
        answer("pcie", out, |_, _| 0)
    }

    /// Whoever asks, with all memory that is in use.
    fn nvmlDeviceGetComputeRunningProcesses_v3(
        _device: *mut c_void,
        count: *mut c_uint,
        out: *mut ProcessInfo,
    ) {
        if out.is_null() {
            let counted = answer("processes", count, |_, _| 1);
            return if counted == SUCCESS { INSUFFICIENT_SIZE } else { counted };
        }
        let counted = answer("processes", count, |_, _| 1);
        counted.max(answer("processes", out, |script, now| ProcessInfo {
            pid: std::process::id(),
            used: whole(column(script, now, |point| point.memory_used_mb, 300.0) * 1_048_576.0),
            gpu_instance: c_uint::MAX,
            compute_instance: c_uint::MAX,
        }))
    }

    /// Off.
    fn nvmlDeviceGetMigMode(_device: *mut c_void, current: *mut c_uint, pending: *mut c_uint) {
        answer("mig", pending, |_, _| 0).max(answer("mig", current, |_, _| 0))
    }

    /// On.
    fn nvmlDeviceGetPersistenceMode(_device: *mut c_void, out: *mut c_uint) {
        answer("persistence", out, |_, _| 1)
    }

    /// A set of events.
    fn nvmlEventSetCreate(out: *mut *mut c_void) { answer("events", out, |_, _| DEVICE) }

    /// Nothing to free.
    fn nvmlEventSetFree(_set: *mut c_void) { SUCCESS }

    /// Always.
    fn nvmlDeviceRegisterEvents(_device: *mut c_void, _kinds: c_ulonglong, _set: *mut c_void) {
        SUCCESS
    }

    /// The next error whose time has come; never waits.
    fn nvmlEventSetWait_v2(_set: *mut c_void, out: *mut EventData, _timeout_ms: c_uint) {
        let play = Play::current();
        let told = play.told_xids.load(Ordering::Relaxed);
        let due = play.script.xids.get(told).filter(|xid| xid.at_s <= play.now_s());
        let Some(due) = due else { return TIMEOUT };
        play.told_xids.store(told + 1, Ordering::Relaxed);
        answer("events", out, |_, _| EventData {
            device: DEVICE,
            kind: XID_EVENT,
            data: due.xid,
            gpu_instance: c_uint::MAX,
            compute_instance: c_uint::MAX,
        })
    }
}
