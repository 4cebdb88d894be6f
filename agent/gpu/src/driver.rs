//! The driver: finds its library, checks its version, and opens a GPU.

use cudarc::driver::result::{self, DriverError, stream::StreamKind};
use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// CUDA 11.4, driver 470: the first that instantiates graphs as this program does.
const OLDEST: Version = Version { major: 11, minor: 4 };

/// What this program calls.
const FUNCTIONS: [&str; 35] = [
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetUuid_v2",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphGetNodes",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
    "cuStreamIsCapturing",
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no NVIDIA driver: libcuda.so.1 was not found; install the driver, or use device cpu")]
    NoLibrary,
    #[error("the NVIDIA driver's library has no function {0}: update the driver")]
    NoFunction(&'static str),
    #[error(
        "the NVIDIA driver supports CUDA {found}: expected {OLDEST} or later (driver 470 or later)"
    )]
    TooOld { found: Version },
    #[error("no NVIDIA GPU is visible: check nvidia-smi -L and CUDA_VISIBLE_DEVICES")]
    NoDevice,
    #[error("no GPU {name}: expected {known}")]
    Unknown { name: DeviceName, known: String },
    #[error("{name} is ambiguous: it is the start of {matches}")]
    Ambiguous { name: DeviceName, matches: String },
    #[error("{gpu} has compute capability {found}: expected 7.5 or higher")]
    Capability { gpu: String, found: Capability },
    #[error("out of GPU memory: {bytes} bytes requested, {free} bytes free")]
    OutOfMemory { bytes: usize, free: usize },
    #[error("{call} failed: {code}")]
    Call { call: &'static str, code: String },
}

impl Error {
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. })
    }

    pub(crate) fn call(call: &'static str) -> impl FnOnce(DriverError) -> Self {
        move |error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Self::OutOfMemory { bytes: 0, free: free() },
            _ => Self::Call { call, code: describe(error) },
        }
    }
}

/// As `CUDA_ERROR_INVALID_PTX (a PTX JIT compilation failed)`.
fn describe(error: DriverError) -> String {
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    format!("{:?} ({})", error.0, text.unwrap_or_else(|_| "unknown".to_owned()))
}

pub(crate) fn free() -> usize {
    result::mem_get_info().map_or(0, |(free, _)| free)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: i32,
    pub minor: i32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability {
    pub major: i32,
    pub minor: i32,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A GPU as users name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceName {
    /// `cuda:0`, in the driver's order.
    Ordinal(usize),
    /// `cuda:GPU-...` or `cuda:MIG-...`, or the start of such an identifier.
    Uuid(String),
}

impl DeviceName {
    /// `None` if this names no GPU.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix("cuda:")?;
        let is_uuid = ["GPU-", "MIG-"].iter().any(|prefix| name.starts_with(prefix));
        if is_uuid && name.len() > 4 {
            return Some(Self::Uuid(name.to_owned()));
        }
        name.parse().ok().map(Self::Ordinal)
    }
}

/// Whether a UUID begins with `start`, whatever the case of its letters.
pub fn uuid_begins_with(uuid: &str, start: &str) -> bool {
    uuid.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ordinal(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Uuid(uuid) => write!(f, "cuda:{uuid}"),
        }
    }
}

/// The driver of this machine, initialized.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    pub version: Version,
}

impl Driver {
    #[expect(unsafe_code, reason = "calls into the driver's library")]
    pub fn load() -> Result<Self, Error> {
        // Safety: loading runs the library's initializers, as for every program that uses CUDA.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::NoLibrary);
        }
        // Safety: the library is there; symbols are looked up and not called.
        let library = unsafe { sys::culib() };
        for function in FUNCTIONS {
            let found = unsafe { library.get::<unsafe extern "C" fn()>(function.as_bytes()) };
            if found.is_err() {
                return Err(Error::NoFunction(function));
            }
        }
        let mut version = 0;
        // Safety: `version` outlives the call.
        let outcome = unsafe { sys::cuDriverGetVersion(&raw mut version) }.result();
        outcome.map_err(Error::call("cuDriverGetVersion"))?;
        let version = Version { major: version / 1000, minor: version % 1000 / 10 };
        if version < OLDEST {
            return Err(Error::TooOld { found: version });
        }
        match result::init() {
            Ok(()) => Ok(Self { version }),
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Err(Error::NoDevice),
            Err(error) => Err(Error::call("cuInit")(error)),
        }
    }

    /// The file of the library, behind all links. `None` if the loader finds no library.
    #[expect(unsafe_code, reason = "looks a function of the driver's library up")]
    pub fn path() -> Option<PathBuf> {
        // Safety: as in `load`; the function isn't called.
        let function = unsafe {
            if !sys::is_culib_present() {
                return None;
            }
            *sys::culib().get::<unsafe extern "C" fn()>(b"cuInit").ok()?
        };
        path_at(&std::fs::read_to_string("/proc/self/maps").ok()?, function as usize)
    }

    /// The GPUs that this process sees, in the order of ordinals.
    #[expect(unsafe_code, reason = "calls into the driver's library")]
    fn visible() -> Result<Vec<Visible>, Error> {
        let count = result::device::get_count().map_err(Error::call("cuDeviceGetCount"))?;
        let visible = |ordinal| -> Result<Visible, Error> {
            let device = result::device::get(ordinal).map_err(Error::call("cuDeviceGet"))?;
            let name = result::device::get_name(device).map_err(Error::call("cuDeviceGetName"))?;
            let mut uuid = sys::CUuuid { bytes: [0; 16] };
            // Safety: `uuid` outlives the call. The first version of this function gives the UUID of the
            // whole GPU for an instance of MIG; this one gives the instance's.
            let outcome = unsafe { sys::cuDeviceGetUuid_v2(&raw mut uuid, device) }.result();
            outcome.map_err(Error::call("cuDeviceGetUuid"))?;
            let prefix = if is_instance(&name) { "MIG" } else { "GPU" };
            Ok(Visible {
                uuid: format_uuid(prefix, uuid.bytes.map(i8::cast_unsigned)),
                name,
                device,
            })
        };
        (0..count).map(visible).collect()
    }

    /// The UUID of a GPU, or of an instance of MIG, as NVIDIA's management library knows it. Opens no
    /// context on it.
    pub fn uuid(self, name: &DeviceName) -> Result<String, Error> {
        named(name, &Self::visible()?).map(|found| found.uuid)
    }

    #[expect(unsafe_code, reason = "calls into the driver's library")]
    pub fn open(self, name: &DeviceName) -> Result<Arc<Gpu>, Error> {
        let Visible { uuid, name: gpu_name, device } = named(name, &Self::visible()?)?;
        let attribute = |which| {
            // Safety: `device` is the driver's own handle.
            let value = unsafe { result::device::get_attribute(device, which) };
            value.map_err(Error::call("cuDeviceGetAttribute"))
        };
        let capability = Capability {
            major: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            minor: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        };
        if capability < (Capability { major: 7, minor: 5 }) {
            return Err(Error::Capability { gpu: gpu_name, found: capability });
        }
        // Safety: `device` is the driver's own handle; `Gpu` releases the context.
        let context = unsafe { result::primary_ctx::retain(device) }
            .map_err(Error::call("cuDevicePrimaryCtxRetain"))?;
        let mut gpu = Gpu {
            driver: self.version,
            name: gpu_name,
            uuid,
            capability,
            device,
            context,
            stream: std::ptr::null_mut(),
        };
        gpu.bind()?;
        gpu.stream = result::stream::create(StreamKind::NonBlocking)
            .map_err(Error::call("cuStreamCreate"))?;
        Ok(Arc::new(gpu))
    }
}

/// The file that is mapped at an address, from the lines of `/proc/self/maps`.
fn path_at(maps: &str, address: usize) -> Option<PathBuf> {
    let holds = |line: &&str| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        let range = range.and_then(|(start, end)| Some(number(start)?..number(end)?));
        range.is_some_and(|range| range.contains(&address))
    };
    let line = maps.lines().find(holds)?;
    line.find('/').map(|start| PathBuf::from(&line[start..]))
}

/// A GPU, or an instance of MIG, that the driver shows to this process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Visible {
    /// With `GPU-` or `MIG-`.
    uuid: String,
    name: String,
    device: sys::CUdevice,
}

/// Whether the driver's name is that of an instance of MIG, such as `NVIDIA A100-SXM4-40GB MIG
/// 1g.5gb`.
fn is_instance(name: &str) -> bool {
    name.split(' ').any(|word| word == "MIG")
}

/// The one GPU that `name` names.
fn named(name: &DeviceName, visible: &[Visible]) -> Result<Visible, Error> {
    let list = |gpus: &[(usize, &Visible)]| -> String {
        let shown = gpus.iter().map(|(ordinal, gpu)| format!("cuda:{ordinal} ({})", gpu.uuid));
        shown.collect::<Vec<_>>().join(", ")
    };
    let all: Vec<(usize, &Visible)> = visible.iter().enumerate().collect();
    if all.is_empty() {
        return Err(Error::NoDevice);
    }
    let found: Vec<(usize, &Visible)> = match name {
        DeviceName::Ordinal(wanted) => {
            all.iter().filter(|(ordinal, _)| ordinal == wanted).copied().collect()
        }
        DeviceName::Uuid(wanted) => {
            all.iter().filter(|(_, gpu)| uuid_begins_with(&gpu.uuid, wanted)).copied().collect()
        }
    };
    match found[..] {
        [(_, one)] => Ok(one.clone()),
        [] => Err(Error::Unknown { name: name.clone(), known: list(&all) }),
        _ => Err(Error::Ambiguous { name: name.clone(), matches: list(&found) }),
    }
}

fn format_uuid(prefix: &str, bytes: [u8; 16]) -> String {
    let mut text = prefix.to_owned();
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 0 | 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}

/// An opened GPU: its context and the one stream on which everything runs in order.
pub struct Gpu {
    /// The CUDA version that the driver supports.
    pub driver: Version,
    /// As reported by the driver.
    pub name: String,
    /// With `GPU-`, or with `MIG-` for an instance of MIG.
    pub uuid: String,
    pub capability: Capability,
    device: sys::CUdevice,
    context: sys::CUcontext,
    pub(crate) stream: sys::CUstream,
}

// Safety: the driver's handles may be used from any thread in which the context is current, and every
// function here makes it current first.
#[expect(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Send for Gpu {}
#[expect(unsafe_code, reason = "handles of the driver are pointers")]
unsafe impl Sync for Gpu {}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, uuid, capability, .. } = self;
        write!(f, "Gpu({name}, {uuid}, compute capability {capability})")
    }
}

impl Gpu {
    /// Makes the context current in this thread.
    #[expect(unsafe_code, reason = "calls into the driver's library")]
    pub(crate) fn bind(&self) -> Result<(), Error> {
        // Safety: the context is retained as long as `self` lives.
        unsafe { result::ctx::set_current(self.context) }.map_err(Error::call("cuCtxSetCurrent"))
    }

    /// Waits until everything that was started has ended.
    #[expect(unsafe_code, reason = "calls into the driver's library")]
    pub fn synchronize(&self) -> Result<(), Error> {
        self.bind()?;
        // Safety: the stream lives as long as `self`.
        unsafe { result::stream::synchronize(self.stream) }
            .map_err(Error::call("cuStreamSynchronize"))
    }

    /// Bytes of memory that are free now, and all bytes.
    pub fn memory(&self) -> Result<(usize, usize), Error> {
        self.bind()?;
        result::mem_get_info().map_err(Error::call("cuMemGetInfo"))
    }
}

impl Drop for Gpu {
    #[expect(unsafe_code, reason = "calls into the driver's library")]
    fn drop(&mut self) {
        // Safety: nothing else has these handles; a failure leaves nothing to do.
        unsafe {
            let _ = result::ctx::set_current(self.context);
            if !self.stream.is_null() {
                let _ = result::stream::destroy(self.stream);
            }
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_the_file_that_holds_the_function() {
        let maps = "\
7f10-7f20 r-xp 00000000 08:01 7    /usr/lib/libcudadebugger.so.1
7f20-7f30 r--p 00000000 08:01 8    /opt/a b/libcuda.so.580.95.05
7f30-7f40 r-xp 00010000 08:01 8    /opt/a b/libcuda.so.580.95.05
7f40-7f50 rw-p 00000000 00:00 0
";
        let path = |address| path_at(maps, address);
        assert_eq!(path(0x7f3f), Some(PathBuf::from("/opt/a b/libcuda.so.580.95.05")));
        assert_eq!(path(0x7f10), Some(PathBuf::from("/usr/lib/libcudadebugger.so.1")));
        assert_eq!((path(0x7f40), path(0x7f50)), (None, None));
    }

    #[test]
    fn gpus_have_ordinals_and_uuids() {
        assert_eq!(DeviceName::parse("cuda:12"), Some(DeviceName::Ordinal(12)));
        let uuid = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f";
        let bytes = std::array::from_fn(|place| u8::try_from(place).unwrap());
        assert_eq!(format_uuid("GPU", bytes), uuid);
        let name = format!("cuda:{uuid}");
        assert_eq!(DeviceName::parse(&name), Some(DeviceName::Uuid(uuid.to_owned())));
        assert_eq!(DeviceName::parse(&name).unwrap().to_string(), name);
        for name in ["cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:GPU-", "cpu", "GPU-1"] {
            assert_eq!(DeviceName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_uuid_names_one_gpu_or_none() {
        let visible = |uuid: &str, name: &str, device| Visible {
            uuid: uuid.to_owned(),
            name: name.to_owned(),
            device,
        };
        let gpus = [
            visible("GPU-12ab", "Tesla T4", 0),
            visible("GPU-12cd", "Tesla T4", 1),
            visible("MIG-12ab", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 2),
        ];
        let named = |name| super::named(&DeviceName::parse(name).unwrap(), &gpus);
        for (name, device) in
            [("cuda:1", 1), ("cuda:GPU-12a", 0), ("cuda:GPU-12CD", 1), ("cuda:MIG-1", 2)]
        {
            assert_eq!(named(name).unwrap().device, device, "{name}");
        }
        let all = "cuda:0 (GPU-12ab), cuda:1 (GPU-12cd)";
        assert_eq!(
            named("cuda:GPU-12").unwrap_err().to_string(),
            format!("cuda:GPU-12 is ambiguous: it is the start of {all}")
        );
        let unknown = named("cuda:GPU-9").unwrap_err().to_string();
        assert_eq!(unknown, format!("no GPU cuda:GPU-9: expected {all}, cuda:2 (MIG-12ab)"));
        assert!(matches!(named("cuda:3"), Err(Error::Unknown { .. })));
        assert!(matches!(super::named(&DeviceName::Ordinal(0), &[]), Err(Error::NoDevice)));
    }

    #[test]
    fn instances_are_told_by_their_name() {
        assert!(is_instance("NVIDIA A100-SXM4-40GB MIG 1g.5gb"));
        assert!(!is_instance("NVIDIA A100-SXM4-40GB"));
    }
}
