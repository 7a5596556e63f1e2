//! What is to be done about a batch of uevents: one step for each while they are few, and as few as will do for a burst.

use std::collections::HashMap;

use nodedev_model::Text;
use nodedev_sys::uevent::{Action, Message};

/// More uevents than that at once are a burst.
const BURST: usize = 256;

/// Something to be done about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It went, and all below it.
    Remove(Box<[u8]>),
    /// See what it is now.
    Look { path: Box<[u8]>, subsystem: Box<[u8]>, cause: Cause },
    /// It and all below it are somewhere else.
    Move { from: Box<[u8]>, path: Box<[u8]>, subsystem: Box<[u8]> },
}

/// Why a device is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cause {
    /// It came or changed, which libvirt tells its clients.
    pub(super) told: bool,
    /// Something happened to it that libvirt passes over.
    pub(super) quiet: bool,
    /// Its kernel driver changed.
    pub(super) driver: Option<DriverChange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DriverChange {
    Bound(Text),
    Unbound,
}

impl Cause {
    fn of(action: Action, kernel_driver: Option<&[u8]>) -> Self {
        let none = Self::default();
        match action {
            Action::Bind => {
                let driver = Text::from(kernel_driver.unwrap_or_default());
                Self { driver: Some(DriverChange::Bound(driver)), ..none }
            }
            Action::Unbind => Self { driver: Some(DriverChange::Unbound), ..none },
            Action::Online | Action::Offline => Self { quiet: true, ..none },
            Action::Add | Action::Change | Action::Move | Action::Remove => Self { told: true, ..none },
        }
    }

    /// Adds an earlier cause.
    fn join(&mut self, earlier: Self) {
        self.told |= earlier.told;
        self.quiet |= earlier.quiet;
        if self.driver.is_none() {
            self.driver = earlier.driver;
        }
    }
}

impl From<Message> for Step {
    fn from(message: Message) -> Self {
        let Message { action, path, former_path, subsystem, kernel_driver } = message;
        match (action, former_path) {
            (Action::Remove, _) => Self::Remove(path),
            (Action::Move, Some(from)) if from != path => Self::Move { from, path, subsystem },
            _ => Self::Look { path, subsystem, cause: Cause::of(action, kernel_driver.as_deref()) },
        }
    }
}

/// The steps for a batch, in an order that leads to the same index as all uevents would one by one.
pub(super) fn plan(messages: impl ExactSizeIterator<Item = Message> + DoubleEndedIterator) -> Vec<Step> {
    if messages.len() <= BURST {
        return messages.map(Step::from).collect();
    }
    shorten(messages.map(Step::from).rev())
}

/// Shortens steps that are given last first. Of each device stays the last removal, and behind that the last look,
/// each where it was, so that what is above a device still goes before it comes.
fn shorten(steps: impl Iterator<Item = Step>) -> Vec<Step> {
    /// What of a device is behind the present step.
    #[derive(Default)]
    struct Later {
        look: Option<usize>,
        removed: bool,
    }
    let mut kept: Vec<Step> = Vec::new();
    let mut later: HashMap<Box<[u8]>, Later> = HashMap::new();
    for step in steps {
        match step {
            Step::Remove(path) => {
                let later = later.entry(path.clone()).or_default();
                if !std::mem::replace(&mut later.removed, true) {
                    kept.push(Step::Remove(path));
                }
            }
            Step::Look { path, subsystem, cause } => {
                let later = later.entry(path.clone()).or_default();
                if later.removed {
                    continue;
                }
                match later.look.and_then(|at| kept.get_mut(at)) {
                    Some(Step::Look { cause: known, .. }) => known.join(cause),
                    _ => {
                        later.look = Some(kept.len());
                        kept.push(Step::Look { path, subsystem, cause });
                    }
                }
            }
            // What was before has another path now.
            Step::Move { .. } => {
                later.clear();
                kept.push(step);
            }
        }
    }
    kept.reverse();
    kept
}

/// What happened to devices while news were lost, as far as some were heard.
#[derive(Debug, Default)]
pub(super) struct Touched(HashMap<Box<[u8]>, Touch>);

/// What happened to one device meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    Changed,
    /// It went, and if there is a device in its place, that came since.
    Replaced,
}

/// Bound of the devices that are remembered so.
const TOUCHED: usize = 1 << 16;

impl Touched {
    pub(super) fn add(&mut self, messages: impl Iterator<Item = Message>) {
        for Message { action, path, .. } in messages {
            let touch = match action {
                Action::Remove => Touch::Replaced,
                Action::Add | Action::Change => Touch::Changed,
                _ => continue,
            };
            let has_room = self.0.len() < TOUCHED;
            match self.0.get_mut(&path) {
                Some(known) if touch == Touch::Replaced => *known = touch,
                None if has_room => {
                    self.0.insert(path, touch);
                }
                _ => {}
            }
        }
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<Touch> {
        self.0.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        let (action, path) = text.split_once(' ').unwrap();
        let text = format!(
            "{action}@/devices/{path}\0ACTION={action}\0DEVPATH=/devices/{path}\0SUBSYSTEM=x\0DRIVER=d\0"
        );
        Message::from_kernel(text.as_bytes()).unwrap()
    }

    fn told(steps: &[Step]) -> Vec<String> {
        let name = |path: &[u8]| String::from_utf8_lossy(path).replace("sys/devices/", "");
        let word = |step: &Step| match step {
            Step::Remove(path) => format!("remove {}", name(path)),
            Step::Look { path, cause, .. } => {
                let driver = match cause.driver {
                    Some(DriverChange::Bound(_)) => "+bound",
                    Some(DriverChange::Unbound) => "+unbound",
                    None => "",
                };
                format!("{} {}{driver}", if cause.told { "look" } else { "peek" }, name(path))
            }
            Step::Move { path, .. } => format!("move {}", name(path)),
        };
        steps.iter().map(word).collect()
    }

    #[test]
    fn of_a_burst_the_last_removal_and_the_last_look_of_each_device_stay_in_their_places() {
        for (burst, want) in [
            ("add a, change a, change a", "look a"),
            ("add a, remove a", "remove a"),
            ("remove a, add a, change a", "remove a, look a"),
            (
                "add p, add p/c, remove p/c, remove p, add p, add p/c",
                "remove p/c, remove p, look p, look p/c",
            ),
            // Were p removed where it is looked at, p/c would go with it.
            ("remove p, add p, add p/c, change p", "remove p, look p/c, look p"),
            ("unbind a, bind a, change b, unbind b", "peek a+bound, look b+unbound"),
            ("bind a, online a", "peek a+bound"),
        ] {
            let messages: Vec<_> = burst.split(", ").map(message).collect();
            let kept = shorten(messages.into_iter().map(Step::from).rev());
            assert_eq!(told(&kept).join(", "), want, "{burst}");
        }
    }

    #[test]
    fn a_few_uevents_are_taken_one_by_one_and_many_are_not() {
        let changes = |count: usize| vec![message("change a"); count].into_iter();
        assert_eq!(plan(changes(BURST)).len(), BURST);
        assert_eq!(plan(changes(BURST + 1)).len(), 1);
    }

    #[test]
    fn what_was_replaced_while_news_were_lost_stays_so() {
        let mut touched = Touched::default();
        touched.add(["add a", "remove a", "add a", "change b", "bind c"].map(message).into_iter());
        let get = |name: &str| touched.get(format!("sys/devices/{name}").as_bytes());
        assert_eq!([get("a"), get("b"), get("c")], [Some(Touch::Replaced), Some(Touch::Changed), None]);
    }
}
