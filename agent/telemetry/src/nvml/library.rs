//! The library that reads NVIDIA's GPUs, found when the agent starts: the system's own, or one that the user names.

use model::telemetry::{Absence, NvmlLibrary};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Where drivers and container runtimes install it. From elsewhere it isn't the system's own.
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

/// A library that is loaded and has found a driver. It stays loaded as long as the agent lives.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    pub(super) nvml: &'static Nvml,
    pub(crate) facts: NvmlLibrary,
}

impl Library {
    /// Loads the library that is named, or the system's own.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub(crate) fn open(named: Option<&Path>) -> Result<Self, Absence> {
        let mut builder = Nvml::builder();
        if let Some(path) = named {
            builder.lib_path(path.as_os_str());
        }
        let nvml = builder.init().map_err(|error| absence(named, &error))?;
        let path = loaded_path(named);
        let is_of_system = SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder));
        let hash = std::fs::read(&path).map(|bytes| hex::encode(&Sha256::digest(&bytes)));
        Ok(Self {
            // Its shutdown on leaving would gain nothing, and a library that lacks the call would end in a panic.
            nvml: Box::leak(Box::new(nvml)),
            facts: NvmlLibrary {
                path: path.to_string_lossy().into_owned(),
                sha256: hash.unwrap_or_default(),
                is_foreign: named.is_some() || !is_of_system,
            },
        })
    }
}

/// The file that the loader took.
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
            format!("{library} is not there or can't be loaded"),
            "on a machine with an NVIDIA GPU install its driver; in a container start it with its GPUs (docker run --gpus all)",
        ),
        NvmlError::DriverNotLoaded => (
            format!("{library} is there, and the NVIDIA driver is not loaded"),
            "load it: modprobe nvidia; without a GPU nothing is missing",
        ),
        NvmlError::LibRmVersionMismatch => (
            "the NVIDIA driver and its library have different versions".to_owned(),
            "restart the machine: the driver was updated while it was loaded",
        ),
        NvmlError::NoPermission => (
            "the NVIDIA driver doesn't let this user in".to_owned(),
            "run the agent as a user who may open /dev/nvidiactl",
        ),
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => (
            format!("{library} is no NVIDIA management library"),
            "name another file with --nvml-library, or none",
        ),
        other => (
            format!("{library} fails: {other}"),
            "run nvidia-smi: it shows what is wrong with the driver",
        ),
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
        assert!(absence.reason.starts_with("/none/libnvidia-ml.so is not there"));
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
