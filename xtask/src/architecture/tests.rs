//! Breaks each rule in a copy of this workspace, and expects the violation.

use super::rules::RULES;
use super::source::Source;
use super::workspace::{Package, Workspace};
use std::sync::OnceLock;

fn workspace() -> Workspace {
    static WORKSPACE: OnceLock<Workspace> = OnceLock::new();
    let load = || Workspace::load(&crate::root()).expect("the workspace can be read");
    WORKSPACE.get_or_init(load).clone()
}

fn package<'w>(workspace: &'w mut Workspace, name: &str) -> &'w mut Package {
    workspace
        .packages
        .iter_mut()
        .find(|package| package.name == name)
        .expect("a package of this name")
}

/// Breaks a copy, and expects a new violation of the named rule that begins with `place`.
fn broken(rule: &str, place: &str, break_it: impl FnOnce(&mut Workspace)) {
    let rule = RULES.iter().find(|it| it.name == rule).expect("a rule of this name");
    let mut workspace = workspace();
    let before = (rule.check)(&workspace);
    break_it(&mut workspace);
    let mut found = (rule.check)(&workspace);
    found.retain(|violation| !before.contains(violation));
    assert!(found.iter().any(|violation| violation.starts_with(place)), "{}: {found:?}", rule.name);
}

/// Adds a source file to a package.
fn add(package_name: &str, path: &str, text: &str) -> impl FnOnce(&mut Workspace) {
    let source = Source::new(path, text);
    let package_name = package_name.to_owned();
    move |workspace| package(workspace, &package_name).sources.push(source)
}

fn depend(package_name: &'static str, on: &'static str) -> impl FnOnce(&mut Workspace) {
    move |workspace| package(workspace, package_name).dependencies.push(on.to_owned())
}

#[test]
fn a_forbidden_dependency_is_found() {
    broken("dependencies", "proto/", depend("proto", "controller"));
    broken("two programs", "agent/", depend("agent", "matrix"));
}

#[test]
fn an_edge_of_a_pure_crate_is_found() {
    broken("pure crates", "controller/stats/Cargo.toml", depend("stats", "tokio"));
    let text = "fn f() { std::fs::read(\"x\"); }";
    broken(
        "pure crates",
        "controller/stats/src/x.rs",
        add("stats", "controller/stats/src/x.rs", text),
    );
}

#[test]
fn a_crate_and_a_row_without_the_other_are_found() {
    broken("dependencies", "new", |workspace| {
        let package = Package {
            name: "new".to_owned(),
            folder: "new".to_owned(),
            dependencies: Vec::new(),
            sources: Vec::new(),
        };
        workspace.packages.push(package);
    });
    broken("dependencies", "ARCHITECTURE.md", |workspace| {
        workspace.packages.retain(|package| package.name != "proto");
    });
}

#[test]
fn a_wire_type_outside_its_places_is_found() {
    broken(
        "wire types",
        "agent/src/x.rs",
        add("agent", "agent/src/x.rs", "use proto::wire::Sample;"),
    );
}

#[test]
fn unsafe_code_outside_the_kernels_is_found() {
    broken(
        "unsafe code",
        "agent/src/x.rs",
        add("agent", "agent/src/x.rs", "fn f() { unsafe { g() } }"),
    );
}

#[test]
fn an_exception_for_clocks_outside_its_places_is_found() {
    let text = "#[expect(clippy::disallowed_methods, reason = \"\")] fn f() {}";
    broken("clocks and environment", "agent/src/x.rs", add("agent", "agent/src/x.rs", text));
}

#[test]
fn a_clock_of_another_library_is_found() {
    let text = "fn f() { chrono::Utc::now(); }";
    broken("clocks and environment", "agent/src/x.rs", add("agent", "agent/src/x.rs", text));
}

#[test]
fn an_exception_that_no_code_needs_is_found() {
    broken("unsafe code", "tests/src/bin/link.rs", |workspace| {
        package(workspace, "scenarios").sources.retain(|source| !source.path.ends_with("link.rs"));
    });
}

#[test]
fn printing_outside_the_terminal_modules_is_found() {
    let text = "fn f() { std::io::stdout().write_all(b\"\"); }";
    broken("printing", "agent/src/x.rs", add("agent", "agent/src/x.rs", text));
}

#[test]
fn a_cycle_of_modules_is_found() {
    broken("import cycles", "agent/src", |workspace| {
        add("agent", "agent/src/x/mod.rs", "mod a; mod b; pub(crate) use a::A;")(workspace);
        add("agent", "agent/src/x/a.rs", "use super::b::{B, C}; use super::D;")(workspace);
        add("agent", "agent/src/x/b.rs", "fn f() { crate::x::a::g() }")(workspace);
    });
}

#[test]
fn a_module_name_without_meaning_is_found() {
    broken("module names", "agent/src/util/x.rs", add("agent", "agent/src/util/x.rs", ""));
}

#[test]
fn a_word_that_is_out_is_found() {
    broken(
        "words",
        "agent/src/x.rs: `LeaseDesk`",
        add("agent", "agent/src/x.rs", "struct LeaseDesk;"),
    );
    broken("words", "agent/src/way_back.rs", add("agent", "agent/src/way_back.rs", ""));
}

#[test]
fn a_long_file_is_found() {
    broken("file length", "agent/src/x.rs", add("agent", "agent/src/x.rs", &"\n".repeat(701)));
}

#[test]
fn a_crate_that_the_images_lack_is_found() {
    broken("images", "agent", |workspace| workspace.dockerignore.clear());
}
