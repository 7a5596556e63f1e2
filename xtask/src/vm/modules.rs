//! Which files of a kernel's modules some modules need, by `modules.dep`.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

/// Files of `wanted` modules and all that they depend on, relative to the folder of `modules.dep`.
pub(super) fn with_dependencies(modules_dep: &str, wanted: &[&str]) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    for module in wanted {
        let line = modules_dep
            .lines()
            .find(|line| line.split(':').next().is_some_and(|path| name(path) == *module))
            .with_context(|| format!("Debian's kernel has no module {module}"))?;
        files.extend(line.split_whitespace().map(|path| path.trim_end_matches(':').to_owned()));
    }
    Ok(files)
}

/// `kernel/drivers/vfio/pci/vfio-pci.ko.xz` is the module `vfio_pci`.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/drivers/vfio/vfio.ko:\n\
        kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/pci/vfio-pci-core.ko kernel/drivers/vfio/vfio.ko\n\
        kernel/drivers/vfio/pci/vfio-pci-core.ko: kernel/drivers/vfio/vfio.ko\n";

    #[test]
    fn a_module_comes_with_what_it_depends_on() -> Result<()> {
        let files = with_dependencies(DEP, &["vfio_pci"])?;
        let expected = [
            "kernel/drivers/vfio/pci/vfio-pci-core.ko",
            "kernel/drivers/vfio/pci/vfio-pci.ko.xz",
            "kernel/drivers/vfio/vfio.ko",
        ];
        assert!(files.iter().eq(expected), "{files:?}");
        Ok(())
    }

    #[test]
    fn a_module_that_the_kernel_lacks_is_named() {
        let error = with_dependencies(DEP, &["igb"]).map_err(|error| error.to_string());
        assert_eq!(error, Err("Debian's kernel has no module igb".to_owned()));
    }
}
