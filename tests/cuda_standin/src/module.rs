//! A module on a device: the text of PTX, decoded, with its variables in memory.

use crate::decode;
use crate::memory::Memory;
use crate::program::Kernel;
use crate::ptx;
use std::collections::HashMap;
use std::sync::Arc;

/// Kernels and variables.
#[derive(Debug)]
pub struct Module {
    pub kernels: HashMap<String, Arc<Kernel>>,
    /// Address and bytes.
    pub variables: HashMap<String, (u64, u64)>,
    /// Version of the language, such as (6, 5).
    pub version: (u32, u32),
    /// The target, such as 75.
    pub target: u32,
}

/// Why a module isn't loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Ptx(#[from] ptx::Error),
    #[error("PTX {0}.{1} is newer than the driver, which knows {2}.{3}")]
    Version(u32, u32, u32, u32),
    #[error("the PTX is for sm_{0}: the device has compute capability {1}.{2}")]
    Target(u32, u32, u32),
    #[error("the module's variables: {0}")]
    Memory(#[from] crate::memory::Error),
}

impl Module {
    /// Loads a text. `newest`: the version of the language that the driver knows; `capability`: of the device.
    pub fn load(
        text: &str,
        memory: &Memory,
        newest: (u32, u32),
        capability: u32,
    ) -> Result<Self, Error> {
        let parsed = ptx::parse(text)?;
        if parsed.version > newest {
            return Err(Error::Version(parsed.version.0, parsed.version.1, newest.0, newest.1));
        }
        if parsed.target > capability {
            return Err(Error::Target(parsed.target, capability / 10, capability % 10));
        }
        let mut variables = HashMap::new();
        for variable in &parsed.variables {
            let address = memory.allocate(u64::from(variable.bytes))?;
            memory.fill(address, &[0], u64::from(variable.bytes))?;
            memory.upload(address, &variable.value)?;
            variables.insert(variable.name.clone(), (address, u64::from(variable.bytes)));
        }
        let addresses =
            variables.iter().map(|(name, (address, _))| (name.clone(), *address)).collect();
        let kernels = parsed.entries.iter().map(|entry| {
            let kernel = decode::kernel(&parsed, entry, &addresses)?;
            Ok((entry.name.clone(), Arc::new(kernel)))
        });
        let kernels = kernels.collect::<Result<_, ptx::Error>>()?;
        Ok(Self { kernels, variables, version: parsed.version, target: parsed.target })
    }
}
