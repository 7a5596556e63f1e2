use crate::{Entry, Result, Revision, View, Watch};

/// The devices of a view at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment: a [`Watch`] since this revision tells every later change, and none that is in here.
    pub revision: Revision,
    /// The devices, sorted by name.
    pub entries: Vec<Entry>,
}

/// What happens to the devices of a source.
pub trait Changes: Send + Sync {
    /// The devices of a view, as [`Devices::entries`](crate::Devices::entries) gives them, with the revision at which they were so.
    ///
    /// # Errors
    /// [`Error::no_events`](crate::Error::no_events) where nothing tells of changes;
    /// [`Error::no_native_view`](crate::Error::no_native_view) of a source that has not got that view.
    fn snapshot(&self, view: View) -> Result<Snapshot>;

    /// The revision that the devices are at, at once. Absent where changes are not followed, or not yet: then nothing tells
    /// how long what was seen is right.
    fn revision(&self) -> Option<Revision>;

    /// Tells what happens to devices from now on, or since a revision that an earlier watch or snapshot gave. Devices of both views;
    /// [`Event::libvirt_events`](crate::Event) tells what of it shows in libvirt's.
    ///
    /// # Errors
    /// [`Error::no_events`](crate::Error::no_events) where nothing tells of changes;
    /// [`Error::history_gone`](crate::Error::history_gone).
    fn watch(&self, since: Option<Revision>) -> Result<Watch>;
}
