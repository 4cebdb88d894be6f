//! The NVML library: the system's own, or a given file.

use model::telemetry::{Absence, NvmlLibrary};
use nvml_wrapper::{Nvml, error::NvmlError};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Locations used by drivers and container runtimes. A library from elsewhere is marked as foreign.
const SYSTEM_FOLDERS: [&str; 8] = [
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/usr/local/nvidia",
    "/usr/local/lib",
    "/run/opengl-driver",
    "/nix/store",
];

/// A loaded library with a driver. Stays loaded for the life of the agent.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    pub(super) nvml: &'static Nvml,
    pub(crate) facts: NvmlLibrary,
}

impl Library {
    pub(crate) fn open(named: Option<&Path>) -> Result<Self, Absence> {
        let mut builder = Nvml::builder();
        if let Some(path) = named {
            builder.lib_path(path.as_os_str());
        }
        let nvml = builder.init().map_err(|error| absence(named, &error))?;
        let path = loaded_path(named);
        let is_of_system = SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder));
        let hash = std::fs::read(&path).map(|bytes| hex::encode(Sha256::digest(&bytes)));
        Ok(Self {
            // Never shut down: that would gain nothing, and panics if the library lacks the call.
            nvml: Box::leak(Box::new(nvml)),
            facts: NvmlLibrary {
                path: path.to_string_lossy().into_owned(),
                sha256: hash.unwrap_or_default(),
                is_foreign: named.is_some() || !is_of_system,
            },
        })
    }
}

/// The path that the loader resolved.
fn loaded_path(named: Option<&Path>) -> PathBuf {
    let wanted = match named {
        Some(path) => std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        None => PathBuf::new(),
    };
    let maps = procfs::process::Process::myself().and_then(|process| process.maps());
    let mapped = maps.into_iter().flatten().filter_map(|map| match map.pathname {
        procfs::process::MMapPath::Path(path) => Some(path),
        _ => None,
    });
    let is_it = |path: &PathBuf| {
        if named.is_some() {
            return *path == wanted;
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| name.starts_with("libnvidia-ml"))
    };
    mapped.into_iter().find(is_it).unwrap_or(wanted)
}

fn absence(named: Option<&Path>, error: &NvmlError) -> Absence {
    let library = named
        .map_or_else(|| "NVIDIA's libnvidia-ml.so.1".to_owned(), |path| path.display().to_string());
    let (reason, remedy) = match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => (
            format!("{library} is missing or cannot be loaded"),
            "on a machine with an NVIDIA GPU install its driver; start the container with GPUs (docker run --gpus all)",
        ),
        NvmlError::DriverNotLoaded => (
            format!("{library} is present, but the NVIDIA driver is not loaded"),
            "run modprobe nvidia; ignore this on machines without a GPU",
        ),
        NvmlError::LibRmVersionMismatch => (
            "the NVIDIA driver and its library have different versions".to_owned(),
            "restart the machine: the driver was updated while loaded",
        ),
        NvmlError::NoPermission => (
            "the NVIDIA driver denies access to this user".to_owned(),
            "run the agent as a user with access to /dev/nvidiactl",
        ),
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => (
            format!("{library} is not an NVIDIA management library"),
            "correct or remove --nvml-library",
        ),
        other => (format!("{library} fails: {other}"), "run nvidia-smi to diagnose the driver"),
    };
    Absence { what: "gpu".to_owned(), reason, remedy: Some(remedy.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_an_absence_with_a_way_out() {
        let absence = Library::open(Some(Path::new("/none/libnvidia-ml.so"))).unwrap_err();
        assert_eq!(absence.what, "gpu");
        assert!(absence.reason.starts_with("/none/libnvidia-ml.so is missing"));
        assert!(absence.remedy.is_some());
    }

    #[test]
    fn every_failure_names_what_to_do() {
        let failures = [
            NvmlError::DriverNotLoaded,
            NvmlError::LibRmVersionMismatch,
            NvmlError::NoPermission,
            NvmlError::FunctionNotFound,
            NvmlError::Unknown,
        ];
        for error in failures {
            assert!(absence(None, &error).remedy.is_some_and(|remedy| !remedy.is_empty()));
        }
    }
}
