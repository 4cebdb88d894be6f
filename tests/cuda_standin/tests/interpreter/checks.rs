//! Every check catches its wrong kernel, and lets the right twin pass.

use crate::device::Device;
use cuda_standin::fault::Kind;
use cuda_standin::machine::Options;

const BLOCK: [u32; 3] = [1, 64, 0];

#[test]
fn reads_of_uninitialized_global_memory_are_caught() {
    let device = Device::checks();
    let (set, unset) = (device.floats(&[1.0; 64]), device.unset(256));
    let fault = device.fault("global_unset", BLOCK, &[unset.into(), set.into()]);
    assert_eq!((fault.kind, fault.thread[0] % 32), (Kind::UninitializedMemory, 0), "{fault}");
    device.run("global_unset", BLOCK, &[set.into(), unset.into()]);
    assert_eq!(device.read_floats(unset), [2.0; 64]);
}

#[test]
fn reads_of_uninitialized_shared_memory_are_caught() {
    let device = Device::checks();
    let out = device.unset(256);
    let fault = device.fault("shared_unset_wrong", BLOCK, &[out.into()]);
    assert_eq!((fault.kind, fault.thread), (Kind::UninitializedMemory, [63, 0, 0]), "{fault}");
    device.run("shared_unset_right", BLOCK, &[out.into()]);
    // A block doesn't find what the one before left.
    let fault = device.fault("shared_unset_wrong", BLOCK, &[out.into()]);
    assert_eq!(fault.kind, Kind::UninitializedMemory, "{fault}");
}

#[test]
fn reads_of_uninitialized_registers_are_caught() {
    let device = Device::checks();
    let out = device.unset(256);
    let fault = device.fault("register_unset", BLOCK, &[out.into(), 0.into()]);
    assert_eq!((fault.kind, fault.thread[0] % 32), (Kind::UninitializedRegister, 1), "{fault}");
    device.run("register_unset", BLOCK, &[out.into(), 1.into()]);
    assert_eq!(device.read_words(out), [8; 64]);
}

#[test]
fn accesses_out_of_bounds_are_caught() {
    let device = Device::checks();
    let values = device.floats(&[1.0; 100]);
    let fault = device.fault("scale", [2, 64, 0], &[values.into(), 101.into()]);
    assert_eq!((fault.kind, fault.block, fault.thread), (Kind::OutOfBounds, [1, 0, 0], [36, 0, 0]));
    assert!(fault.what.ends_with("is 0 bytes behind an allocation of 400"), "{fault}");
    let values = device.floats(&[1.0; 100]);
    device.run("scale", [2, 64, 0], &[values.into(), 100.into()]);
    assert_eq!(device.read_floats(values), [2.0; 100]);
    device.machine.memory.free(values.address).unwrap();
    let fault = device.fault("scale", [2, 64, 0], &[values.into(), 100.into()]);
    assert_eq!(fault.kind, Kind::OutOfBounds, "freed: {fault}");
}

#[test]
fn accesses_beyond_shared_memory_are_caught() {
    let device = Device::checks();
    let out = device.unset(4);
    let fault = device.fault("shared_bounds", BLOCK, &[out.into(), 65.into()]);
    assert_eq!((fault.kind, fault.thread), (Kind::OutOfBounds, [0, 0, 0]), "{fault}");
    device.run("shared_bounds", BLOCK, &[out.into(), 64.into()]);
}

#[test]
fn misaligned_accesses_are_caught() {
    let device = Device::checks();
    let (from, out) = (device.bytes(&[1; 64]), device.unset(16));
    let fault = device.fault("wide_load", BLOCK, &[from.into(), out.into(), 8.into()]);
    assert_eq!(fault.kind, Kind::Misaligned, "{fault}");
    device.run("wide_load", BLOCK, &[from.into(), out.into(), 16.into()]);
}

#[test]
fn races_in_shared_memory_are_caught() {
    let device = Device::checks();
    let (values, out) = (device.floats(&[1.0; 128]), device.unset(256));
    for name in ["shared_race", "warp_race"] {
        let fault = device.fault(&format!("{name}_wrong"), BLOCK, &[out.into()]);
        assert!(matches!(fault.kind, Kind::Race | Kind::UninitializedMemory), "{fault}");
        device.run(&format!("{name}_right"), BLOCK, &[out.into()]);
    }
    let fault = device.fault("warp_race_wrong", BLOCK, &[out.into()]);
    assert_eq!(fault.kind, Kind::Race, "{fault}");
    for seed in 0..20 {
        let text = include_str!("../../kernels/checks.ptx");
        let device = Device::new(text, Options { seed, ..Options::default() });
        let (values, out) = (device.floats(&[1.0; 128]), device.unset(256));
        let fault = device.fault("reuse_race_wrong", BLOCK, &[values.into(), out.into()]);
        assert_eq!(fault.kind, Kind::Race, "seed {seed}: {fault}");
    }
    device.run("reuse_race_right", BLOCK, &[values.into(), out.into()]);
    assert_eq!(device.read_floats(out), [2.0; 64]);
}

#[test]
fn races_in_global_memory_are_caught() {
    for seed in 0..20 {
        let text = include_str!("../../kernels/checks.ptx");
        let device = Device::new(text, Options { seed, ..Options::default() });
        let total = device.words(&[0]);
        let fault = device.fault("count_wrong", [8, 64, 0], &[total.into()]);
        assert_eq!(fault.kind, Kind::Race, "seed {seed}: {fault}");
        let total = device.words(&[0]);
        device.run("count_right", [8, 64, 0], &[total.into()]);
        assert_eq!(device.read_words(total), [8]);
        let values = device.floats(&[1.0; 512]);
        let fault = device.fault("shift_wrong", [8, 64, 0], &[values.into()]);
        assert_eq!(fault.kind, Kind::Race, "seed {seed}: {fault}");
        let values = device.floats(&[1.0; 512]);
        device.run("shift_right", [8, 64, 0], &[values.into()]);
        assert_eq!(device.read_floats(values), [2.0; 512]);
    }
}

#[test]
fn writes_to_what_the_read_only_cache_holds_are_caught() {
    let device = Device::checks();
    let values = device.floats(&[1.0; 192]);
    let fault =
        device.fault("constant_race", [2, 64, 0], &[values.into(), values.into(), 64.into()]);
    assert_eq!(fault.kind, Kind::Race, "{fault}");
    let values = device.floats(&[1.0; 192]);
    device.run("constant_race", [2, 64, 0], &[values.into(), values.into(), 128.into()]);
}

#[test]
fn launches_do_not_race_with_each_other() {
    let device = Device::checks();
    let values = device.floats(&[1.0; 128]);
    // More than entries tell apart by their number.
    for _ in 0..5000 {
        device.run("shift_right", [1, 64, 0], &[values.into()]);
    }
    assert_eq!(device.read_floats(values)[..1], [5001.0]);
}

#[test]
fn barriers_that_not_all_threads_reach_are_caught() {
    let device = Device::checks();
    let out = device.unset(256);
    // Half of a warp; one of two warps.
    for n in [16, 32] {
        let fault = device.fault("barrier_wrong", BLOCK, &[out.into(), n.into()]);
        assert_eq!(fault.kind, Kind::Barrier, "{n}: {fault}");
        device.run("barrier_right", BLOCK, &[out.into(), n.into()]);
    }
    device.run("barrier_wrong", BLOCK, &[out.into(), 64.into()]);
}

#[test]
fn shuffles_from_inactive_lanes_are_caught() {
    let device = Device::checks();
    let out = device.unset(256);
    for name in ["shuffle_wrong", "shuffle_outside"] {
        let fault = device.fault(name, BLOCK, &[out.into(), 16.into()]);
        assert_eq!(fault.kind, Kind::InactiveLane, "{fault}");
    }
    device.run("shuffle_right", BLOCK, &[out.into(), 16.into()]);
    let wanted: Vec<u32> =
        (0..64).map(|thread| if thread % 32 < 16 { thread ^ 8 } else { thread }).collect();
    assert_eq!(device.read_words(out), wanted);
}

#[test]
fn traps_end_a_launch() {
    let device = Device::checks();
    let out = device.unset(256);
    let fault = device.fault("trapped", BLOCK, &[out.into(), 40.into()]);
    assert_eq!((fault.kind, fault.thread), (Kind::Stopped, [40, 0, 0]), "{fault}");
    device.run("trapped", BLOCK, &[out.into(), 64.into()]);
}

#[test]
fn halves_of_a_warp_meet_again() {
    let device = Device::checks();
    let out = device.unset(256);
    device.run("halves", BLOCK, &[out.into()]);
    let value = |thread: u32| {
        let lane = thread % 32;
        if lane < 16 { 2 * (thread ^ 1) } else { 3 * (thread ^ 2) }
    };
    let wanted: Vec<u32> = (0..64)
        .map(|thread| {
            let other = if thread % 8 < 4 { thread + 4 } else { thread };
            value(thread) + value(other) + 21
        })
        .collect();
    assert_eq!(device.read_words(out), wanted);
}
