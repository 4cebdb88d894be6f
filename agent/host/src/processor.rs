//! The processor's name and features, from /proc/cpuinfo. On Arm the name follows from the numbers of its register
//! MIDR: the kernel doesn't name it.

use crate::Root;

/// Features that select kernels, and Arm's counterparts.
const FEATURES: [&str; 14] = [
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Processor {
    /// `None` if the system doesn't say.
    pub(crate) model: Option<String>,
    pub(crate) features: Vec<String>,
}

pub(crate) fn read(root: &Root) -> Processor {
    let text = root.text("proc/cpuinfo").unwrap_or_default();
    let features: Vec<&str> = ["flags", "Features"]
        .into_iter()
        .filter_map(|key| values(&text, key).next())
        .flat_map(str::split_whitespace)
        .collect();
    let model = arm_cores(&text)
        .or_else(|| values(&text, "model name").next().map(str::to_owned))
        .or_else(|| device_tree(root));
    let is_known = |feature: &&&str| features.contains(*feature);
    Processor {
        model,
        features: FEATURES.iter().filter(is_known).map(|feature| (*feature).to_owned()).collect(),
    }
}

/// The values of a key for every processor; empty ones are left out.
fn values<'t>(text: &'t str, key: &'static str) -> impl Iterator<Item = &'t str> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .filter(move |(found, _)| found.trim() == key)
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}

/// Each kind of core once: some machines have several.
fn arm_cores(text: &str) -> Option<String> {
    let parts = values(text, "CPU implementer").zip(values(text, "CPU part"));
    let mut names: Vec<String> = Vec::new();
    for (implementer, part) in parts {
        let name = match (hexadecimal(implementer), hexadecimal(part)) {
            (Some(implementer), Some(part)) => arm_core(implementer, part),
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join(" + "))
}

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The cores of servers and common boards. The numbers are those of lscpu (util-linux, `lscpu-arm.c`).
const CORES: [(u32, u32, &str); 45] = [
    (0x41, 0xd03, "Cortex-A53"),
    (0x41, 0xd04, "Cortex-A35"),
    (0x41, 0xd05, "Cortex-A55"),
    (0x41, 0xd07, "Cortex-A57"),
    (0x41, 0xd08, "Cortex-A72"),
    (0x41, 0xd09, "Cortex-A73"),
    (0x41, 0xd0a, "Cortex-A75"),
    (0x41, 0xd0b, "Cortex-A76"),
    (0x41, 0xd0c, "Neoverse N1"),
    (0x41, 0xd0d, "Cortex-A77"),
    (0x41, 0xd40, "Neoverse V1"),
    (0x41, 0xd41, "Cortex-A78"),
    (0x41, 0xd42, "Cortex-A78AE"),
    (0x41, 0xd44, "Cortex-X1"),
    (0x41, 0xd46, "Cortex-A510"),
    (0x41, 0xd47, "Cortex-A710"),
    (0x41, 0xd48, "Cortex-X2"),
    (0x41, 0xd49, "Neoverse N2"),
    (0x41, 0xd4a, "Neoverse E1"),
    (0x41, 0xd4d, "Cortex-A715"),
    (0x41, 0xd4e, "Cortex-X3"),
    (0x41, 0xd4f, "Neoverse V2"),
    (0x41, 0xd80, "Cortex-A520"),
    (0x41, 0xd81, "Cortex-A720"),
    (0x41, 0xd82, "Cortex-X4"),
    (0x41, 0xd83, "Neoverse V3AE"),
    (0x41, 0xd84, "Neoverse V3"),
    (0x41, 0xd85, "Cortex-X925"),
    (0x41, 0xd87, "Cortex-A725"),
    (0x41, 0xd8e, "Neoverse N3"),
    (0x43, 0x0a1, "Cavium ThunderX"),
    (0x43, 0x0af, "Cavium ThunderX2"),
    (0x46, 0x001, "Fujitsu A64FX"),
    (0x48, 0xd01, "HiSilicon TaiShan v110"),
    (0x48, 0xd02, "HiSilicon TaiShan v120"),
    (0x4e, 0x004, "NVIDIA Carmel"),
    (0x4e, 0x010, "NVIDIA Olympus"),
    (0x51, 0x001, "Qualcomm Oryon"),
    (0x61, 0x022, "Apple Icestorm M1"),
    (0x61, 0x023, "Apple Firestorm M1"),
    (0x61, 0x032, "Apple Blizzard M2"),
    (0x61, 0x033, "Apple Avalanche M2"),
    (0x6d, 0xd49, "Microsoft Azure Cobalt 100"),
    (0xc0, 0xac3, "Ampere-1"),
    (0xc0, 0xac4, "Ampere-1a"),
];

fn arm_core(implementer: u32, part: u32) -> String {
    let known = CORES.iter().find(|(by, number, _)| (*by, *number) == (implementer, part));
    match known {
        Some((.., name)) => (*name).to_owned(),
        None => format!("Arm core {implementer:#04x}/{part:#05x}"),
    }
}

/// The name of the board.
fn device_tree(root: &Root) -> Option<String> {
    let text = root.text("sys/firmware/devicetree/base/model")?;
    let name = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn of(cpuinfo: &str, board: Option<&str>) -> Processor {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/cpuinfo", cpuinfo);
        if let Some(board) = board {
            write("sys/firmware/devicetree/base/model", board);
        }
        read(&Root::of(folder.path()))
    }

    /// /proc/cpuinfo of one processor; a c7g instance has these lines.
    fn graviton(number: u32, implementer: &str, part: &str) -> String {
        format!(
            "processor\t: {number}\nBogoMIPS\t: 2100.00\n\
             Features\t: fp asimd evtstrm aes crc32 atomics asimddp sve bf16 i8mm\n\
             CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU variant\t: 0x1\n\
             CPU part\t: {part}\nCPU revision\t: 1\n\n"
        )
    }

    #[test]
    fn an_arm_processor_is_named_by_its_numbers() {
        let found =
            of(&[graviton(0, "0x41", "0xd40"), graviton(1, "0x41", "0xd40")].concat(), None);
        assert_eq!(found.model.as_deref(), Some("Neoverse V1"));
        assert_eq!(found.features, ["asimd", "asimddp", "i8mm", "bf16", "sve"]);
        for (part, name) in [("0xd0c", "Neoverse N1"), ("0xd4f", "Neoverse V2")] {
            assert_eq!(of(&graviton(0, "0x41", part), None).model.as_deref(), Some(name));
        }
        let unknown = of(&graviton(0, "0x41", "0xfff"), None);
        assert_eq!(unknown.model.as_deref(), Some("Arm core 0x41/0xfff"));
    }

    #[test]
    fn every_kind_of_core_is_named_once() {
        let cores = ["0xd05", "0xd05", "0xd0b", "0xd0b"];
        let text: String = (0..4).zip(cores).map(|(n, part)| graviton(n, "0x41", part)).collect();
        assert_eq!(of(&text, None).model.as_deref(), Some("Cortex-A55 + Cortex-A76"));
    }

    #[test]
    fn an_x86_processor_is_named_by_the_kernel() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8259CL\n\
                    flags\t\t: fpu fma avx2 avx512f avx512_vnni\n";
        let found = of(text, Some("a board"));
        assert_eq!(found.model.as_deref(), Some("Intel(R) Xeon(R) Platinum 8259CL"));
        assert_eq!(found.features, ["avx2", "fma", "avx512f", "avx512_vnni"]);
    }

    #[test]
    fn an_unnamed_processor_is_that_of_its_board_or_unknown() {
        let text = "processor\t: 0\nmodel name\t:\nhart\t: 0\n";
        let board = of(text, Some("StarFive VisionFive 2\0"));
        assert_eq!(board.model.as_deref(), Some("StarFive VisionFive 2"));
        assert_eq!(of(text, None), Processor::default());
        assert_eq!(of("", Some("\0")).model, None);
    }
}
