//! A stand-in for NVIDIA's management library: its C symbols, which play the script in the file that
//! `NVML_STANDIN_SCRIPT` names. Signatures and numbers are those of nvml.h; calls that nvml.h allows for whole GPUs
//! alone refuse instances of MIG.

#![expect(unsafe_code, reason = "C symbols take and fill raw pointers")]

pub mod script;

use script::{Instance, Point, Script};
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

/// What a handle stands for: a GPU by its number, or one of its instances.
#[derive(Clone, Copy)]
struct Handle {
    gpu: usize,
    instance: Option<usize>,
}

/// Handles of a GPU's instances follow its own.
const HANDLES: usize = 0x100;

impl Handle {
    fn pointer(self) -> *mut c_void {
        let place = self.instance.map_or(0, |instance| instance + 1);
        std::ptr::without_provenance_mut((self.gpu + 1) * HANDLES + place)
    }

    /// The GPU and the instance of a handle that was given out.
    fn of(pointer: *mut c_void) -> Option<(&'static Script, Option<&'static Instance>)> {
        let gpu = gpus().nth((pointer.addr() / HANDLES).checked_sub(1)?)?;
        match pointer.addr() % HANDLES {
            0 => Some((gpu, None)),
            place => gpu.instances.get(place - 1).map(|instance| (gpu, Some(instance))),
        }
    }

    /// By the whole UUID, as the library wants it.
    fn by_uuid(uuid: &str) -> Option<Self> {
        gpus().enumerate().find_map(|(number, gpu)| {
            if gpu.uuid == uuid {
                return Some(Self { gpu: number, instance: None });
            }
            let place = gpu.instances.iter().position(|instance| instance.uuid == uuid);
            place.map(|place| Self { gpu: number, instance: Some(place) })
        })
    }
}

fn gpus() -> impl Iterator<Item = &'static Script> {
    let first = &Play::current().script;
    std::iter::once(first).chain(&first.more).filter(|_| !first.is_empty)
}

/// Fills `out`, unless the GPU is lost.
fn fill<T>(out: *mut T, value: impl FnOnce(f64) -> T) -> c_uint {
    let play = Play::current();
    if out.is_null() {
        return INVALID_ARGUMENT;
    }
    if play.is_dead() {
        return GPU_IS_LOST;
    }
    // SAFETY: the caller of a C call gives a valid place for the answer; null was checked above.
    unsafe { out.write(value(play.now_s())) };
    SUCCESS
}

/// Answers a call of a family that the script may lack, for a GPU or an instance: fills `out` with what `value` says of
/// it now.
fn answer_any<T>(
    device: *mut c_void,
    family: &str,
    out: *mut T,
    value: impl FnOnce(&Script, Option<&Instance>, f64) -> T,
) -> c_uint {
    let Some((gpu, instance)) = Handle::of(device) else { return INVALID_ARGUMENT };
    if Play::current().script.missing.iter().any(|missing| missing == family) {
        return if Play::current().is_dead() { GPU_IS_LOST } else { NOT_SUPPORTED };
    }
    fill(out, |now| value(gpu, instance, now))
}

/// The same for a call that whole GPUs alone answer.
fn answer<T>(
    device: *mut c_void,
    family: &str,
    out: *mut T,
    value: impl FnOnce(&Script, f64) -> T,
) -> c_uint {
    if Handle::of(device).is_some_and(|(_, instance)| instance.is_some()) {
        return INVALID_ARGUMENT;
    }
    answer_any(device, family, out, |gpu, _, now| value(gpu, now))
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

/// Memory in use.
fn used_mb(script: &Script, instance: Option<&Instance>, now: f64) -> f64 {
    match instance {
        Some(instance) => instance.memory_used_mb,
        None => column(script, now, |point| point.memory_used_mb, 300.0),
    }
}

/// The set of events.
const EVENTS: *mut c_void = std::ptr::dangling_mut::<u64>().cast();

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
    fn nvmlSystemGetCudaDriverVersion_v2(out: *mut c_int) { fill(out, |_| 13_000) }

    /// All, or none.
    fn nvmlDeviceGetCount_v2(out: *mut c_uint) {
        fill(out, |_| c_uint::try_from(gpus().count()).unwrap_or(c_uint::MAX))
    }

    /// In the order of the bus.
    fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, out: *mut *mut c_void) {
        let gpu = index as usize;
        if gpu >= gpus().count() {
            return INVALID_ARGUMENT;
        }
        fill(out, |_| Handle { gpu, instance: None }.pointer())
    }

    /// A GPU or an instance.
    fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, out: *mut *mut c_void) {
        // SAFETY: the caller gives a text that ends.
        let wanted = unsafe { CStr::from_ptr(uuid) }.to_string_lossy();
        let Some(handle) = Handle::by_uuid(&wanted) else { return NOT_FOUND };
        fill(out, |_| handle.pointer())
    }

    /// Seven, as an A100 may have.
    fn nvmlDeviceGetMaxMigDeviceCount(device: *mut c_void, out: *mut c_uint) {
        answer(device, "mig", out, |_, _| 7)
    }

    /// Those that don't exist are not found.
    fn nvmlDeviceGetMigDeviceHandleByIndex(
        device: *mut c_void,
        index: c_uint,
        out: *mut *mut c_void,
    ) {
        let Some((gpu, None)) = Handle::of(device) else { return INVALID_ARGUMENT };
        // The first of the numbers is free.
        let place = (index as usize).checked_sub(1).filter(|place| *place < gpu.instances.len());
        let Some(place) = place else { return NOT_FOUND };
        let number = gpus().position(|known| std::ptr::eq(known, gpu)).unwrap_or_default();
        fill(out, |_| Handle { gpu: number, instance: Some(place) }.pointer())
    }

    /// The GPU of an instance.
    fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device: *mut c_void, out: *mut *mut c_void) {
        let Some((gpu, Some(_))) = Handle::of(device) else { return INVALID_ARGUMENT };
        let number = gpus().position(|known| std::ptr::eq(known, gpu)).unwrap_or_default();
        fill(out, |_| Handle { gpu: number, instance: None }.pointer())
    }

    /// An instance's says what it is a part of.
    fn nvmlDeviceGetName(device: *mut c_void, out: *mut c_char, length: c_uint) {
        match Handle::of(device) {
            None => INVALID_ARGUMENT,
            Some((gpu, None)) => text(&gpu.name, out, length),
            Some((gpu, Some(_))) => text(&format!("{} MIG 1g.5gb", gpu.name), out, length),
        }
    }

    /// With `GPU-` or `MIG-`.
    fn nvmlDeviceGetUUID(device: *mut c_void, out: *mut c_char, length: c_uint) {
        match Handle::of(device) {
            None => INVALID_ARGUMENT,
            Some((gpu, None)) => text(&gpu.uuid, out, length),
            Some((_, Some(instance))) => text(&instance.uuid, out, length),
        }
    }

    /// That of a T4.
    fn nvmlDeviceGetCudaComputeCapability(device: *mut c_void, major: *mut c_int, minor: *mut c_int) {
        answer(device, "", minor, |_, _| 5).max(answer(device, "", major, |_, _| 7))
    }

    /// Utilization, which isn't measured while MIG is enabled.
    fn nvmlDeviceGetUtilizationRates(device: *mut c_void, out: *mut Utilization) {
        if Handle::of(device).is_some_and(|(gpu, _)| !gpu.instances.is_empty()) {
            return NOT_SUPPORTED;
        }
        answer(device, "utilization", out, |script, now| Utilization {
            gpu: small(column(script, now, |point| point.utilization_pct, 0.0)),
            memory: 0,
        })
    }

    /// Memory; an instance has its own.
    fn nvmlDeviceGetMemoryInfo_v2(device: *mut c_void, out: *mut Memory) {
        answer_any(device, "memory", out, |script, instance, now| {
            let bytes = |mb: f64| whole(mb * 1_048_576.0);
            let total = bytes(instance.map_or(script.memory_mb, |instance| instance.memory_mb));
            let used = bytes(used_mb(script, instance, now));
            Memory { version: 2, total, reserved: 0, free: total.saturating_sub(used), used }
        })
    }

    /// Heat.
    fn nvmlDeviceGetTemperature(device: *mut c_void, _sensor: c_uint, out: *mut c_uint) {
        answer(device, "temperature", out, |script, now| {
            small(column(script, now, |point| point.temperature_c, 40.0))
        })
    }

    /// Power.
    fn nvmlDeviceGetPowerUsage(device: *mut c_void, out: *mut c_uint) {
        answer(device, "power", out, |script, now| {
            small(column(script, now, |point| point.power_w, 10.0) * 1e3)
        })
    }

    /// Its limit.
    fn nvmlDeviceGetEnforcedPowerLimit(device: *mut c_void, out: *mut c_uint) {
        answer(device, "limit", out, |script, _| small(script.power_limit_w * 1e3))
    }

    /// Clocks; that of the memory stands still.
    fn nvmlDeviceGetClockInfo(device: *mut c_void, clock: c_uint, out: *mut c_uint) {
        answer(device, "clocks", out, |script, now| {
            if clock == 2 {
                return 5000;
            }
            small(column(script, now, |point| point.sm_mhz, 300.0))
        })
    }

    /// The fastest ones.
    fn nvmlDeviceGetMaxClockInfo(device: *mut c_void, clock: c_uint, out: *mut c_uint) {
        answer(device, "clocks", out, |script, _| if clock == 2 { 5001 } else { small(script.sm_max_mhz) })
    }

    /// Why clocks are held down.
    fn nvmlDeviceGetCurrentClocksThrottleReasons(device: *mut c_void, out: *mut c_ulonglong) {
        answer(device, "throttle", out, Script::reasons)
    }

    /// For how long they were.
    fn nvmlDeviceGetViolationStatus(device: *mut c_void, policy: c_uint, out: *mut ViolationTime) {
        answer(device, "violations", out, |script, now| {
            let bits = if policy == 1 { HEAT_BITS } else { POWER_BITS };
            ViolationTime {
                reference_us: whole(now * 1e6),
                violation_ns: whole(script.held(now, bits) * 1e9),
            }
        })
    }

    /// Energy since the start.
    fn nvmlDeviceGetTotalEnergyConsumption(device: *mut c_void, out: *mut c_ulonglong) {
        answer(device, "energy", out, |script, now| whole(script.energy(now) * 1e3))
    }

    /// Memory errors: none.
    fn nvmlDeviceGetTotalEccErrors(
        device: *mut c_void,
        _kind: c_uint,
        _counter: c_uint,
        out: *mut c_ulonglong,
    ) {
        answer(device, "ecc", out, |_, _| 0)
    }

    /// They are corrected.
    fn nvmlDeviceGetEccMode(device: *mut c_void, current: *mut c_uint, pending: *mut c_uint) {
        answer(device, "ecc", pending, |_, _| 1).max(answer(device, "ecc", current, |_, _| 1))
    }

    /// A little.
    fn nvmlDeviceGetPcieThroughput(device: *mut c_void, _counter: c_uint, out: *mut c_uint) {
        answer(device, "pcie", out, |_, _| 1200)
    }

    /// None.
    fn nvmlDeviceGetPcieReplayCounter(device: *mut c_void, out: *mut c_uint) {
        answer(device, "pcie", out, |_, _| 0)
    }

    /// Whoever asks, with all memory that is in use.
    fn nvmlDeviceGetComputeRunningProcesses_v3(
        device: *mut c_void,
        count: *mut c_uint,
        out: *mut ProcessInfo,
    ) {
        let counted = answer_any(device, "processes", count, |_, _, _| 1);
        if out.is_null() {
            return if counted == SUCCESS { INSUFFICIENT_SIZE } else { counted };
        }
        counted.max(answer_any(device, "processes", out, |script, instance, now| ProcessInfo {
            pid: std::process::id(),
            used: whole(used_mb(script, instance, now) * 1_048_576.0),
            gpu_instance: c_uint::MAX,
            compute_instance: c_uint::MAX,
        }))
    }

    /// On, if there are instances.
    fn nvmlDeviceGetMigMode(device: *mut c_void, current: *mut c_uint, pending: *mut c_uint) {
        let is_on = |script: &Script, _| c_uint::from(!script.instances.is_empty());
        answer(device, "mig", pending, is_on).max(answer(device, "mig", current, is_on))
    }

    /// On.
    fn nvmlDeviceGetPersistenceMode(device: *mut c_void, out: *mut c_uint) {
        answer(device, "persistence", out, |_, _| 1)
    }

    /// A set of events.
    fn nvmlEventSetCreate(out: *mut *mut c_void) { fill(out, |_| EVENTS) }

    /// Nothing to free.
    fn nvmlEventSetFree(_set: *mut c_void) { SUCCESS }

    /// Of whole GPUs.
    fn nvmlDeviceRegisterEvents(device: *mut c_void, _kinds: c_ulonglong, set: *mut c_void) {
        let mut set = set;
        answer(device, "events", &raw mut set, |_, _| EVENTS)
    }

    /// The next error whose time has come; never waits.
    fn nvmlEventSetWait_v2(_set: *mut c_void, out: *mut EventData, _timeout_ms: c_uint) {
        let play = Play::current();
        let told = play.told_xids.load(Ordering::Relaxed);
        let due = play.script.xids.get(told).filter(|xid| xid.at_s <= play.now_s());
        let Some(due) = due else { return TIMEOUT };
        play.told_xids.store(told + 1, Ordering::Relaxed);
        fill(out, |_| EventData {
            device: Handle { gpu: 0, instance: None }.pointer(),
            kind: XID_EVENT,
            data: due.xid,
            gpu_instance: c_uint::MAX,
            compute_instance: c_uint::MAX,
        })
    }
}
