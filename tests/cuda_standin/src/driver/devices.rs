//! The machine's GPUs, and which of them a process sees in which order: the rules of CUDA for
//! `CUDA_DEVICE_ORDER`, `CUDA_VISIBLE_DEVICES` and instances of MIG.

use super::settings::{MULTIPROCESSORS, NAME};
use serde::Deserialize;

/// A GPU, with its instances if MIG is enabled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whole {
    /// With `GPU-`.
    pub(super) uuid: String,
    /// The more, the faster.
    #[serde(default = "multiprocessors")]
    pub(super) multiprocessors: u32,
    #[serde(default)]
    pub(super) instances: Vec<Instance>,
}

/// An instance of MIG.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Instance {
    /// With `MIG-`.
    pub(super) uuid: String,
    pub(super) memory_bytes: u64,
}

fn multiprocessors() -> u32 {
    MULTIPROCESSORS
}

/// A device as the process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) uuid: [u8; 16],
    /// Of the whole GPU.
    pub(super) gpu_uuid: [u8; 16],
    pub(super) memory_bytes: u64,
    pub(super) multiprocessors: u32,
    /// The place of the GPU on the bus.
    pub(super) bus: usize,
}

/// So many GPUs: "FLMK", "software GPU" and a number.
pub(super) fn numbered(count: u32) -> Vec<Whole> {
    let uuid = |number: u32| {
        let mut bytes = *b"FLMKsoftwareGPU0";
        bytes[15] = bytes[15].wrapping_add(u8::try_from(number).unwrap_or(0));
        format!("GPU-{:032x}", u128::from_be_bytes(bytes))
    };
    let whole = |number| Whole {
        uuid: uuid(number),
        multiprocessors: MULTIPROCESSORS,
        instances: Vec::new(),
    };
    (0..count).map(whole).collect()
}

/// The 16 bytes of a UUID.
fn bytes(uuid: &str) -> [u8; 16] {
    let digits: String = uuid.chars().skip(4).filter(|digit| *digit != '-').collect();
    let number = u128::from_str_radix(&digits, 16);
    number.unwrap_or_else(|_| panic!("`{uuid}`: expected the UUID of a GPU")).to_be_bytes()
}

#[derive(Clone, Copy)]
struct Place<'m> {
    bus: usize,
    gpu: &'m Whole,
    instance: Option<&'m Instance>,
}

/// The devices of a process with these variables. `machine`: by their place on the bus;
/// `memory_bytes`: of each whole GPU.
pub(super) fn visible(
    machine: &[Whole],
    memory_bytes: u64,
    order: Option<&str>,
    list: Option<&str>,
) -> Vec<Device> {
    let mut gpus: Vec<Place<'_>> =
        machine.iter().enumerate().map(|(bus, gpu)| Place { bus, gpu, instance: None }).collect();
    if order != Some("PCI_BUS_ID") {
        gpus.sort_by_key(|place| std::cmp::Reverse(place.gpu.multiprocessors));
    }
    let chosen: Vec<Place<'_>> = match list {
        None => gpus,
        // What follows an invalid entry isn't seen either.
        Some(list) => list.split(',').map_while(|entry| entry_of(entry.trim(), &gpus)).collect(),
    };
    // One instance at most, and no GPU beside it.
    let first_instance = chosen.iter().find_map(|place| {
        let instance = place.instance.or_else(|| place.gpu.instances.first())?;
        Some(Place { instance: Some(instance), ..*place })
    });
    let shown = first_instance.map_or(chosen, |place| vec![place]);
    let device = |place: Place<'_>| Device {
        name: place.instance.map_or_else(|| NAME.to_owned(), |_| format!("{NAME} MIG 1g.5gb")),
        uuid: bytes(place.instance.map_or(&place.gpu.uuid, |instance| &instance.uuid)),
        gpu_uuid: bytes(&place.gpu.uuid),
        memory_bytes: place.instance.map_or(memory_bytes, |instance| instance.memory_bytes),
        multiprocessors: place.gpu.multiprocessors,
        bus: place.bus,
    };
    shown.into_iter().map(device).collect()
}

/// A number in CUDA's order, the unique beginning of a GPU's UUID, or the UUID of an instance.
fn entry_of<'m>(entry: &str, gpus: &[Place<'m>]) -> Option<Place<'m>> {
    if let Ok(number) = entry.parse::<usize>() {
        return gpus.get(number).copied();
    }
    let instance = gpus.iter().find_map(|place| {
        let instance = place.gpu.instances.iter().find(|instance| instance.uuid == entry)?;
        Some(Place { instance: Some(instance), ..*place })
    });
    let mut found = gpus
        .iter()
        .filter(|place| entry.starts_with("GPU-") && place.gpu.uuid.starts_with(entry))
        .copied();
    instance.or_else(|| found.next().filter(|_| found.next().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: &str = "GPU-aa000000-0000-0000-0000-000000000001";
    const FAST: &str = "GPU-ab000000-0000-0000-0000-000000000002";
    const PART: &str = "MIG-cc000000-0000-0000-0000-000000000003";
    const OTHER: &str = "MIG-cd000000-0000-0000-0000-000000000004";

    fn gpu(uuid: &str, multiprocessors: u32, instances: &[&str]) -> Whole {
        let instance = |uuid: &&str| Instance { uuid: (*uuid).to_owned(), memory_bytes: 1 << 20 };
        let instances = instances.iter().map(instance).collect();
        Whole { uuid: uuid.to_owned(), multiprocessors, instances }
    }

    fn seen(machine: &[Whole], order: Option<&str>, list: Option<&str>) -> Vec<[u8; 16]> {
        visible(machine, 1 << 30, order, list).into_iter().map(|device| device.uuid).collect()
    }

    #[test]
    fn the_fastest_is_the_first_unless_the_bus_decides() {
        let machine = [gpu(SLOW, 10, &[]), gpu(FAST, 20, &[])];
        let (slow, fast) = (bytes(SLOW), bytes(FAST));
        let seen = |order, list| seen(&machine, order, list);
        assert_eq!(seen(None, None), [fast, slow]);
        assert_eq!(seen(Some("PCI_BUS_ID"), None), [slow, fast]);
        assert_eq!(seen(None, Some("1,0")), [slow, fast]);
        assert_eq!(seen(Some("PCI_BUS_ID"), Some("1")), [fast]);
        assert_eq!(seen(None, Some("GPU-aa, GPU-ab")), [slow, fast]);
        assert_eq!(seen(None, Some("0,GPU-a,1")), [fast], "an ambiguous entry ends the list");
        assert!(seen(None, Some("")).is_empty());
    }

    #[test]
    fn one_instance_is_seen_and_nothing_beside_it() {
        let machine = [gpu(FAST, 20, &[]), gpu(SLOW, 10, &[PART, OTHER])];
        let seen = |list| seen(&machine, None, list);
        assert_eq!(seen(None), [bytes(PART)]);
        assert_eq!(seen(Some("0")), [bytes(FAST)]);
        assert_eq!(seen(Some(OTHER)), [bytes(OTHER)]);
        let both = format!("{OTHER},{PART}");
        assert_eq!(seen(Some(&both)), [bytes(OTHER)]);
        assert!(seen(Some("MIG-c")).is_empty());
        let [device] = &visible(&machine, 1 << 30, None, Some(OTHER))[..] else { panic!("one") };
        assert_eq!((device.gpu_uuid, device.memory_bytes), (bytes(SLOW), 1 << 20));
    }
}
