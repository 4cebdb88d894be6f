//! Makes a GPU that is named by its UUID visible to CUDA's driver.
//!
//! Where MIG is enabled, the driver shows a process one instance, and no GPU beside it:
//! `CUDA_VISIBLE_DEVICES` chooses, and the driver reads it once. So the agent starts itself again in
//! its process, with this variable. NVIDIA's management library lists what there is to choose from;
//! without it, a name must be a whole UUID. A variable that is already set is only narrowed.

use model::telemetry::Gpu;
use ops::environment;
use seq2seq::device::{DeviceName, uuid_begins_with};
use std::io;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "CUDA_VISIBLE_DEVICES";
/// `GPU-` or `MIG-` with a UUID.
const WHOLE: usize = 40;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no GPU {device}: expected {known}")]
    Unknown { device: String, known: String },
    #[error("{device} is ambiguous: it is the start of {matches}")]
    Ambiguous { device: String, matches: String },
    #[error("{device} is divided into instances of MIG: expected {instances}")]
    Divided { device: String, instances: String },
    #[error("failed to restart with {VARIABLE}={uuid}")]
    Restart { uuid: String, source: io::Error },
}

/// Starts the program again if the driver would not show this device otherwise.
pub fn make_visible(device: &str, nvml_library: Option<&Path>) -> Result<(), Error> {
    match needed(device, nvml_library)? {
        Some(uuid) => {
            Err(Error::Restart { source: environment::restart_with(VARIABLE, &uuid), uuid })
        }
        None => Ok(()),
    }
}

/// The value of the variable that this device needs. `None`: the present one, if any.
pub fn needed(device: &str, nvml_library: Option<&Path>) -> Result<Option<String>, Error> {
    let Some(DeviceName::Uuid(start)) = DeviceName::parse(device) else { return Ok(None) };
    let named = environment::variable("FLEETMARK_NVML_LIBRARY").map(PathBuf::from);
    let gpus = telemetry::gpus(nvml_library.or(named.as_deref())).unwrap_or_default();
    value(device, &start, &gpus, environment::variable(VARIABLE).as_deref())
}

fn value(
    device: &str,
    start: &str,
    gpus: &[Gpu],
    present: Option<&str>,
) -> Result<Option<String>, Error> {
    let Some(uuid) = chosen(device, start, gpus, present.is_some())? else { return Ok(None) };
    let is_narrower = |list: &str| {
        let mut entries = list.split(',').map(str::trim);
        list.trim() != uuid && entries.any(|entry| entry == uuid)
    };
    Ok(present.is_none_or(is_narrower).then_some(uuid))
}

/// The whole UUID, if the driver must be told.
fn chosen(
    device: &str,
    start: &str,
    gpus: &[Gpu],
    is_restricted: bool,
) -> Result<Option<String>, Error> {
    if gpus.is_empty() {
        let is_known = start.starts_with("MIG-") && start.len() == WHOLE;
        return Ok(is_known.then(|| start.to_owned()));
    }
    let instances_of = |parent: &str| -> Vec<&Gpu> {
        gpus.iter().filter(|gpu| gpu.parent_uuid.as_deref() == Some(parent)).collect()
    };
    // Without instances the driver shows all GPUs, and judges the name itself.
    if gpus.iter().all(|gpu| gpu.parent_uuid.is_none()) {
        return Ok(None);
    }
    let list = |gpus: &[&Gpu]| -> String {
        gpus.iter().map(|gpu| format!("cuda:{}", gpu.uuid)).collect::<Vec<_>>().join(", ")
    };
    let found: Vec<&Gpu> = gpus.iter().filter(|gpu| uuid_begins_with(&gpu.uuid, start)).collect();
    let device = device.to_owned();
    match found[..] {
        [one] => {
            let instances = instances_of(&one.uuid);
            if instances.is_empty() {
                return Ok(Some(one.uuid.clone()));
            }
            Err(Error::Divided { device, instances: list(&instances) })
        }
        // The driver sees fewer, and says which.
        _ if is_restricted => Ok(None),
        [] => {
            let is_usable = |gpu: &&Gpu| instances_of(&gpu.uuid).is_empty();
            let usable: Vec<&Gpu> = gpus.iter().filter(is_usable).collect();
            Err(Error::Unknown { device, known: list(&usable) })
        }
        _ => Err(Error::Ambiguous { device, matches: list(&found) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &str = "MIG-cc000000-0000-0000-0000-000000000003";
    const OTHER: &str = "MIG-cd000000-0000-0000-0000-000000000004";

    fn gpus() -> Vec<Gpu> {
        let gpu = |uuid: &str, parent: Option<&str>| Gpu {
            uuid: uuid.to_owned(),
            parent_uuid: parent.map(str::to_owned),
            ..Gpu::default()
        };
        let parent = Some("GPU-a");
        vec![gpu("GPU-a", None), gpu(PART, parent), gpu(OTHER, parent), gpu("GPU-b", None)]
    }

    fn needed(device: &str, gpus: &[Gpu], present: Option<&str>) -> Result<Option<String>, String> {
        let start = device.strip_prefix("cuda:").unwrap();
        value(device, start, gpus, present).map_err(|error| error.to_string())
    }

    #[test]
    fn the_driver_is_told_what_it_would_not_show() {
        let gpus = gpus();
        assert_eq!(needed("cuda:MIG-cd", &gpus, None).unwrap().as_deref(), Some(OTHER));
        assert_eq!(needed("cuda:MIG-CD", &gpus, None).unwrap().as_deref(), Some(OTHER));
        assert_eq!(needed("cuda:GPU-b", &gpus, None).unwrap().as_deref(), Some("GPU-b"));
        let whole = &[gpus[0].clone(), gpus[3].clone()];
        assert_eq!(needed("cuda:GPU-b", whole, None), Ok(None), "it shows all");
        assert_eq!(needed("cuda:GPU-", whole, None), Ok(None), "it judges the name");
        for device in ["cpu", "cuda:0", "cuda:x"] {
            assert_eq!(super::needed(device, None).unwrap(), None, "{device}");
        }
    }

    #[test]
    fn a_variable_is_narrowed_and_never_widened() {
        let gpus = gpus();
        let device = format!("cuda:{OTHER}");
        let needed = |present: &str| needed(&device, &gpus, Some(present));
        assert_eq!(needed(&format!("{PART}, {OTHER}")).unwrap().as_deref(), Some(OTHER));
        for present in [OTHER, PART, "0,1", ""] {
            assert_eq!(needed(present), Ok(None), "{present}");
        }
    }

    #[test]
    fn names_that_choose_nothing_say_what_there_is() {
        let gpus = gpus();
        let [part, other] = [PART, OTHER].map(|uuid| format!("cuda:{uuid}"));
        let error = |device| needed(device, &gpus, None).unwrap_err();
        assert_eq!(
            error("cuda:MIG-c"),
            format!("cuda:MIG-c is ambiguous: it is the start of {part}, {other}")
        );
        assert_eq!(
            error("cuda:MIG-f"),
            format!("no GPU cuda:MIG-f: expected {part}, {other}, cuda:GPU-b")
        );
        assert_eq!(
            error("cuda:GPU-a"),
            format!("cuda:GPU-a is divided into instances of MIG: expected {part}, {other}")
        );
        assert_eq!(needed("cuda:MIG-c", &gpus, Some(PART)), Ok(None), "the driver sees one");
    }

    #[test]
    fn without_the_management_library_a_name_must_be_whole() {
        assert_eq!(needed(&format!("cuda:{PART}"), &[], None).unwrap().as_deref(), Some(PART));
        assert_eq!(needed("cuda:MIG-cc", &[], None), Ok(None));
        assert_eq!(needed("cuda:GPU-b", &[], None), Ok(None));
    }
}
