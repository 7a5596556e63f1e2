//! What one knows of a host who has looked once, and since then has only been told of changes.

use std::collections::BTreeMap;

use nodedev_driver::{Entry, Event, LibvirtEvent};
use nodedev_model::Visibility;

/// The devices of a source as its events tell them, in both views.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    native: BTreeMap<String, Entry>,
    /// Names in libvirt's view, which is all that its clients are told, with whether they are active.
    libvirt: BTreeMap<String, bool>,
}

impl Picture {
    /// What there is at the start.
    pub fn new(entries: &[Entry]) -> Self {
        let named = |entry: &Entry| (entry.name.to_string(), entry.clone());
        let shown = entries.iter().filter(|entry| entry.visibility == Visibility::Libvirt);
        Self {
            native: entries.iter().map(named).collect(),
            libvirt: shown.map(|entry| (entry.name.to_string(), entry.state.active)).collect(),
        }
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// If it does not fit what was told before: something was told twice, or not at all.
    pub fn apply(&mut self, event: &Event) -> Result<(), String> {
        let name = event.name.to_string();
        if let Some(from) = event.change.former_name() {
            self.native.remove(from.as_str()).ok_or_else(|| format!("{from} was not there: {event:?}"))?;
        }
        let before = self.native.get(&name).map(|entry| entry.state.active);
        let fits = match event.change.as_str() {
            "created" => before != Some(true),
            "deleted" => before == Some(true),
            "defined" => true,
            "renamed" | "address-changed" => before.is_none(),
            _ => before.is_some(),
        };
        if !fits {
            return Err(format!("does not fit what was told before: {event:?}"));
        }
        match &event.entry {
            Some(entry) => drop(self.native.insert(name, entry.clone())),
            None => drop(self.native.remove(&name)),
        }
        let told: Vec<_> = event.libvirt_events().collect();
        for (name, told) in told {
            self.apply_libvirt(name.as_str(), told, event)?;
        }
        Ok(())
    }

    fn apply_libvirt(&mut self, name: &str, told: LibvirtEvent, event: &Event) -> Result<(), String> {
        let before = self.libvirt.get(name).copied();
        let stays =
            event.entry.as_ref().is_some_and(|entry| entry.name.as_str() == name && !entry.state.active);
        let (fits, after) = match told {
            LibvirtEvent::Created => (before != Some(true), Some(true)),
            LibvirtEvent::Deleted => (before == Some(true), stays.then_some(false)),
            LibvirtEvent::Defined => (true, before.or(Some(false))),
            LibvirtEvent::Undefined => (before.is_some(), before.filter(|&active| active)),
            LibvirtEvent::Updated => (before.is_some(), before),
        };
        if !fits {
            return Err(format!("does not fit what libvirt's clients were told before: {event:?}"));
        }
        match after {
            Some(active) => drop(self.libvirt.insert(name.to_owned(), active)),
            None => drop(self.libvirt.remove(name)),
        }
        Ok(())
    }

    /// Holds the picture against what is there.
    ///
    /// # Errors
    /// With each difference.
    pub fn compare(&self, entries: &[Entry]) -> Result<(), String> {
        let want = Self::new(entries);
        if *self == want {
            return Ok(());
        }
        let missing =
            want.native.values().filter(|entry| self.native.get(entry.name.as_str()) != Some(*entry));
        let extra = self.native.values().filter(|entry| want.native.get(entry.name.as_str()) != Some(*entry));
        Err(format!(
            "not told: {:?}\ntold, and not so: {:?}\nlibvirt's clients know {:?}\nwhere there are {:?}",
            missing.collect::<Vec<_>>(),
            extra.collect::<Vec<_>>(),
            self.libvirt,
            want.libvirt
        ))
    }
}
