//! What is to be written so that a function is served as wanted, worked out from how it is served now.
//!
//! The same steps take a device from the host, give it back, undo what failed, and finish what a crash interrupted: only
//! where they start and where they end differ. So there is one place that knows them, and nothing depends on remembering how
//! far an operation came.

use nodedev_model::{DriverBinding, PciAddress, PlanStep, StepAction};
use nodedev_sys::paths::{PCI_DEVICES, PCI_DRIVERS, PCI_DRIVERS_PROBE};

use crate::PciFunction;

/// How a function is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Exactly so.
    Exact(DriverBinding),
    /// By whichever driver the kernel finds, since nothing is known of what was there before.
    KernelsChoice,
}

impl Target {
    /// A driver that nothing else may take the place of.
    pub(crate) fn only(driver: &str) -> Self {
        Self::Exact(DriverBinding {
            kernel_driver: Some(driver.to_owned()),
            driver_override: Some(driver.to_owned()),
        })
    }

    pub(crate) fn exact(&self) -> Option<&DriverBinding> {
        match self {
            Self::Exact(binding) => Some(binding),
            Self::KernelsChoice => None,
        }
    }
}

/// The steps from `now` to a target; none if that is how it is. `kept` says that the driver bound now only keeps the device
/// for somebody else.
pub(crate) fn steps(
    function: &PciFunction,
    now: &DriverBinding,
    target: &Target,
    kept: bool,
) -> Vec<PlanStep> {
    let mut steps = Steps { address: function.address, now: now.clone(), steps: Vec::new() };
    match target {
        Target::Exact(wanted) => {
            if wanted.kernel_driver != now.kernel_driver {
                if let Some(driver) = &wanted.kernel_driver {
                    // Even a driver that the kernel would choose by itself is named until it is bound: another one could
                    // fit as well, and the one that was there before need not be the first of them.
                    steps.set_override(Some(driver));
                }
                steps.unbind();
                if let Some(driver) = &wanted.kernel_driver {
                    steps.probe(Some(driver));
                }
            }
            steps.set_override(wanted.driver_override.as_deref());
        }
        // A driver of the host that somebody has named for the device: that is a wish, and no trace of a guest.
        Target::KernelsChoice
            if !kept && now.kernel_driver.is_some() && now.kernel_driver == now.driver_override => {}
        Target::KernelsChoice => {
            steps.set_override(None);
            if kept {
                steps.unbind();
            }
            if steps.now.kernel_driver.is_none() {
                steps.probe(None);
            }
        }
    }
    steps.steps
}

/// Steps, and how a function is served after them.
struct Steps {
    address: PciAddress,
    now: DriverBinding,
    steps: Vec<PlanStep>,
}

impl Steps {
    fn set_override(&mut self, wanted: Option<&str>) {
        if self.now.driver_override.as_deref() == wanted {
            return;
        }
        let before = std::mem::replace(&mut self.now.driver_override, wanted.map(str::to_owned));
        self.steps.push(PlanStep {
            action: StepAction::SetOverride,
            device: Some(self.address),
            file: format!("/{PCI_DEVICES}/{}/driver_override", self.address),
            value: wanted.unwrap_or_default().to_owned(),
            input: None,
            before,
            after: wanted.map(str::to_owned),
        });
    }

    fn unbind(&mut self) {
        let Some(driver) = self.now.kernel_driver.take() else { return };
        self.steps.push(PlanStep {
            action: StepAction::Unbind,
            device: Some(self.address),
            file: format!("/{PCI_DRIVERS}/{driver}/unbind"),
            value: self.address.to_string(),
            input: None,
            before: Some(driver),
            after: None,
        });
    }

    fn probe(&mut self, wanted: Option<&str>) {
        self.now.kernel_driver = wanted.map(str::to_owned);
        self.steps.push(PlanStep {
            action: StepAction::Probe,
            device: Some(self.address),
            file: format!("/{PCI_DRIVERS_PROBE}"),
            value: self.address.to_string(),
            input: None,
            before: None,
            after: wanted.map(str::to_owned),
        });
    }
}

/// The step that loads a module.
pub(crate) fn load_module(module: &str) -> PlanStep {
    PlanStep {
        action: StepAction::LoadModule,
        device: None,
        file: format!("/{}/{module}", nodedev_sys::paths::MODULE),
        value: module.to_owned(),
        input: None,
        before: None,
        after: None,
    }
}

#[cfg(test)]
mod tests {
    use nodedev_model::DriverBinding;

    use super::{Target, steps};
    use crate::PciFunction;

    fn binding(driver: &str, only: &str) -> DriverBinding {
        let some = |text: &str| (text != "-").then(|| text.to_owned());
        DriverBinding { kernel_driver: some(driver), driver_override: some(only) }
    }

    fn plan(now: (&str, &str), target: &Target, kept: bool) -> Vec<String> {
        let function = PciFunction::new("0000:03:00.0".parse().unwrap());
        let steps = steps(&function, &binding(now.0, now.1), target, kept);
        let folder = "/sys/bus/pci/";
        steps
            .iter()
            .map(|step| {
                let file = step.file.strip_prefix(folder).unwrap().replace("devices/0000:03:00.0/", "");
                format!("{file}={}", step.value.replace("0000:03:00.0", "A"))
            })
            .collect()
    }

    #[test]
    fn every_start_and_end_has_the_fewest_steps() {
        let exact = |driver, only| Target::Exact(binding(driver, only));
        for (now, target, want) in [
            (
                ("igb", "-"),
                Target::only("vfio-pci"),
                &["driver_override=vfio-pci", "drivers/igb/unbind=A", "drivers_probe=A"][..],
            ),
            (("vfio-pci", "vfio-pci"), Target::only("vfio-pci"), &[]),
            (("vfio-pci", "-"), Target::only("vfio-pci"), &["driver_override=vfio-pci"]),
            (("-", "vfio-pci"), Target::only("vfio-pci"), &["drivers_probe=A"]),
            (
                ("vfio-pci", "vfio-pci"),
                exact("igb", "-"),
                &["driver_override=igb", "drivers/vfio-pci/unbind=A", "drivers_probe=A", "driver_override="],
            ),
            (("igb", "igb"), exact("igb", "-"), &["driver_override="]),
            (("igb", "vfio-pci"), exact("igb", "-"), &["driver_override="]),
            (("-", "igb"), exact("igb", "-"), &["drivers_probe=A", "driver_override="]),
            (("vfio-pci", "vfio-pci"), exact("-", "-"), &["drivers/vfio-pci/unbind=A", "driver_override="]),
            (
                ("vfio-pci", "vfio-pci"),
                exact("-", "mine"),
                &["drivers/vfio-pci/unbind=A", "driver_override=mine"],
            ),
            (
                ("vfio-pci", "vfio-pci"),
                exact("mine", "mine"),
                &["driver_override=mine", "drivers/vfio-pci/unbind=A", "drivers_probe=A"],
            ),
        ] {
            assert_eq!(plan(now, &target, false), want, "{now:?} to {target:?}");
        }
    }

    #[test]
    fn the_kernel_chooses_only_where_nobody_of_the_host_serves_the_device() {
        for (now, kept, want) in [
            (
                ("vfio-pci", "vfio-pci"),
                true,
                &["driver_override=", "drivers/vfio-pci/unbind=A", "drivers_probe=A"][..],
            ),
            (("igb", "-"), false, &[]),
            (("igb", "igb"), false, &[]),
            (("igb", "vfio-pci"), false, &["driver_override="]),
            (("-", "-"), false, &["drivers_probe=A"]),
        ] {
            assert_eq!(plan(now, &Target::KernelsChoice, kept), want, "{now:?}");
        }
    }
}
