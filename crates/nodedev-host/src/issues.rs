//! What could not be read for the index, as it is now.

use std::collections::BTreeMap;

use nodedev_model::{DeviceName, Issue};

/// Issues by the device they concern; `None` for those of the host.
#[derive(Debug, Default)]
pub(crate) struct KnownIssues(BTreeMap<Option<DeviceName>, Vec<Issue>>);

impl KnownIssues {
    /// Puts the issues of a fresh look at a device in the place of those of the last one.
    pub(crate) fn replace(&mut self, device: DeviceName, issues: Vec<Issue>) {
        if issues.is_empty() {
            self.0.remove(&Some(device));
        } else {
            self.0.insert(Some(device), issues);
        }
    }

    /// Puts the issues of a fresh look at what is below a folder of the host, and is of no device, in the place of those
    /// of the last one.
    pub(crate) fn replace_below(&mut self, folder: &str, issues: Vec<Issue>) {
        let known = self.0.entry(None).or_default();
        known.retain(|issue| !issue.path.strip_prefix('/').is_some_and(|path| path.starts_with(folder)));
        known.extend(issues);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Issue> {
        self.0.values().flatten()
    }
}

impl FromIterator<Issue> for KnownIssues {
    fn from_iter<I: IntoIterator<Item = Issue>>(issues: I) -> Self {
        let mut known = Self::default();
        for issue in issues {
            known.0.entry(issue.device.clone()).or_default().push(issue);
        }
        known
    }
}
