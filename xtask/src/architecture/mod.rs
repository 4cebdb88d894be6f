//! The rules of ARCHITECTURE.md, checked on `cargo metadata` and the sources.

mod modules;
mod rules;
mod source;
#[cfg(test)]
mod tests;
mod workspace;

use anyhow::ensure;
use rules::RULES;
use workspace::Workspace;

/// Prints every violation with its remedy; fails if there is one.
pub(crate) fn check() -> anyhow::Result<()> {
    let workspace = Workspace::load(&crate::root())?;
    let mut count = 0;
    for rule in RULES {
        let mut found = (rule.check)(&workspace);
        found.sort();
        for violation in &found {
            println!("{violation}");
        }
        if !found.is_empty() {
            println!("  rule {}: {}\n", rule.name, rule.way_out);
        }
        count += found.len();
    }
    ensure!(count == 0, "{count} violations of ARCHITECTURE.md");
    println!("architecture: {} crates keep {} rules", workspace.packages.len(), RULES.len());
    Ok(())
}
