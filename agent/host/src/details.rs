//! Facts about frequency control, virtualization and limits.

use crate::{Cgroup, Root};
use model::host::HostFacts;
use std::collections::BTreeSet;

const PROCESSORS: &str = "sys/devices/system/cpu";
const DMI: &str = "sys/class/dmi/id";

/// The facts that this module knows; all others are unknown.
pub(crate) fn read(root: &Root) -> HostFacts {
    let khz = root.number::<f64>(&format!("{PROCESSORS}/cpu0/cpufreq/cpuinfo_max_freq"));
    let limits = Cgroup::find(root).map(|cgroup| cgroup.limits()).unwrap_or_default();
    HostFacts {
        physical_cores: physical_cores(root),
        cpu_max_mhz: khz.map(|khz| khz / 1e3),
        governor: root.text(&format!("{PROCESSORS}/cpu0/cpufreq/scaling_governor")),
        turbo: turbo(root),
        virtualization: virtualization(root),
        container: container(root),
        power_supply: power_supply(root),
        cpu_limit_cores: limits.cpu_cores,
        memory_limit_bytes: limits.memory_bytes,
        ..HostFacts::default()
    }
}

/// CPUs whose threads are siblings count as one core.
fn physical_cores(root: &Root) -> Option<u32> {
    let siblings = root.list(PROCESSORS, "cpu").into_iter().filter_map(|path| {
        root.text(&format!("{path}/topology/core_cpus_list"))
            .or_else(|| root.text(&format!("{path}/topology/thread_siblings_list")))
    });
    let cores: BTreeSet<String> = siblings.collect();
    u32::try_from(cores.len()).ok().filter(|cores| *cores > 0)
}

fn turbo(root: &Root) -> Option<String> {
    let is_on = match root.text(&format!("{PROCESSORS}/intel_pstate/no_turbo")).as_deref() {
        Some("0") => true,
        Some("1") => false,
        _ => match root.text(&format!("{PROCESSORS}/cpufreq/boost")).as_deref() {
            Some("1") => true,
            Some("0") => false,
            _ => return None,
        },
    };
    Some(if is_on { "on" } else { "off" }.to_owned())
}

/// From DMI strings, otherwise from the CPU flag. Arm has no such flag: there, only names that are not those of a
/// physical machine's vendor count.
fn virtualization(root: &Root) -> Option<String> {
    const KNOWN: [(&str, &str); 9] = [
        ("amazon ec2", "amazon-ec2"),
        ("kvm", "kvm"),
        ("qemu", "qemu"),
        ("google", "google"),
        ("microsoft corporation", "hyperv"),
        ("vmware", "vmware"),
        ("virtualbox", "virtualbox"),
        ("xen", "xen"),
        ("bochs", "bochs"),
    ];
    let names = ["sys_vendor", "product_name", "bios_vendor"];
    let names = names.map(|file| root.text(&format!("{DMI}/{file}")).unwrap_or_default());
    let names = names.join(" ").to_lowercase();
    let known = KNOWN.iter().find(|(word, _)| names.contains(word));
    match has_hypervisor(root) {
        // EC2 bare-metal machines have the vendor string but no hypervisor.
        Some(false) => return None,
        None => {
            let is_physical = match known {
                None => !root.path("sys/hypervisor/type").exists(),
                Some((_, "amazon-ec2")) => names.contains(".metal"),
                Some((_, "google")) => !names.contains("compute engine"),
                Some((_, "hyperv")) => !names.contains("virtual machine"),
                Some(_) => false,
            };
            if is_physical {
                return None;
            }
        }
        Some(true) => {}
    }
    let hypervisor = || root.text("sys/hypervisor/type").unwrap_or_else(|| "unknown".to_owned());
    Some(known.map_or_else(hypervisor, |(_, name)| (*name).to_owned()))
}

/// `None` if the processor has no flags to tell.
fn has_hypervisor(root: &Root) -> Option<bool> {
    let text = root.text("proc/cpuinfo").unwrap_or_default();
    let flags = text.lines().find(|line| line.starts_with("flags"))?;
    let is_flagged = flags.split_whitespace().any(|flag| flag == "hypervisor");
    Some(is_flagged || root.path("sys/hypervisor/type").exists())
}

fn container(root: &Root) -> Option<String> {
    let groups = root.text("proc/1/cgroup").unwrap_or_default();
    let mounts = root.text("proc/1/mountinfo").unwrap_or_default();
    let name = if root.path("var/run/secrets/kubernetes.io").exists() || groups.contains("kubepods")
    {
        "kubernetes"
    } else if root.path("run/.containerenv").exists() {
        "podman"
    } else if root.path(".dockerenv").exists() || groups.contains("/docker/") {
        "docker"
    } else if groups.contains("/lxc") {
        "lxc"
    } else if mounts.contains("/containerd/") {
        "containerd"
    } else {
        return None;
    };
    Some(name.to_owned())
}

fn power_supply(root: &Root) -> Option<String> {
    let supplies = root.list("sys/class/power_supply", "");
    let is_online = |path: &String| {
        root.text(&format!("{path}/type")).as_deref() == Some("Mains")
            && root.text(&format!("{path}/online")).as_deref() == Some("1")
    };
    let is_battery =
        |path: &String| root.text(&format!("{path}/type")).as_deref() == Some("Battery");
    if supplies.iter().any(is_online) {
        Some("mains".to_owned())
    } else {
        supplies.iter().any(is_battery).then(|| "battery".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, HostFacts) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let details = read(&Root::of(folder.path()));
        (folder, details)
    }

    #[test]
    fn a_laptop_tells_its_cores_clocks_and_battery() {
        let cpu = |file: &str| format!("{PROCESSORS}/{file}");
        let (_folder, details) = machine(&[
            (&cpu("cpu0/topology/core_cpus_list"), "0,2\n"),
            (&cpu("cpu1/topology/core_cpus_list"), "1,3\n"),
            (&cpu("cpu2/topology/core_cpus_list"), "0,2\n"),
            (&cpu("cpu0/cpufreq/cpuinfo_max_freq"), "4500000\n"),
            (&cpu("cpu0/cpufreq/scaling_governor"), "powersave\n"),
            (&cpu("intel_pstate/no_turbo"), "0\n"),
            ("sys/class/power_supply/AC/type", "Mains\n"),
            ("sys/class/power_supply/AC/online", "0\n"),
            ("sys/class/power_supply/BAT0/type", "Battery\n"),
            ("sys/class/dmi/id/sys_vendor", "LENOVO\n"),
            ("proc/cpuinfo", "flags\t\t: fpu avx2\n"),
        ]);
        assert_eq!((details.physical_cores, details.cpu_max_mhz), (Some(2), Some(4500.0)));
        assert_eq!(details.governor.as_deref(), Some("powersave"));
        assert_eq!(details.turbo.as_deref(), Some("on"));
        assert_eq!(details.power_supply.as_deref(), Some("battery"));
        assert_eq!((details.virtualization, details.container), (None, None));
    }

    #[test]
    fn an_instance_in_a_pod_tells_both() {
        let (_folder, details) = machine(&[
            ("proc/cpuinfo", "flags\t\t: fpu hypervisor avx2\n"),
            ("sys/class/dmi/id/sys_vendor", "Amazon EC2\n"),
            ("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n"),
        ]);
        assert_eq!(details.virtualization.as_deref(), Some("amazon-ec2"));
        assert_eq!(details.container.as_deref(), Some("kubernetes"));
    }

    #[test]
    fn an_arm_machine_is_virtual_by_the_name_of_its_vendor() {
        for (vendor, product, expected) in [
            ("Amazon EC2", "c7g.large", Some("amazon-ec2")),
            ("Amazon EC2", "c7g.metal", None),
            ("QEMU", "QEMU Virtual Machine", Some("qemu")),
            ("Google", "Google Compute Engine", Some("google")),
            ("Google", "Kukui", None),
            ("Microsoft Corporation", "Virtual Machine", Some("hyperv")),
            ("Microsoft Corporation", "Surface Pro X", None),
            ("Ampere(TM)", "Mt. Jade", None),
        ] {
            let (_folder, details) = machine(&[
                ("proc/cpuinfo", "Features\t: fp asimd\n"),
                ("sys/class/dmi/id/sys_vendor", vendor),
                ("sys/class/dmi/id/product_name", product),
            ]);
            assert_eq!(details.virtualization.as_deref(), expected, "{vendor} {product}");
        }
    }

    #[test]
    fn an_empty_machine_has_no_details() {
        assert_eq!(machine(&[]).1, HostFacts::default());
    }
}
