//! Passes over many devices: each is described when its turn is near, by several threads, and handed to the caller in order.

use std::mem;
use std::ops::ControlFlow;

use nodedev_driver::{DeviceVisitor, ListFlags, Result, View, XmlFlags, XmlVisitor};
use nodedev_model::{DeviceName, Issue, NodeDevice, Visibility};
use nodedev_sys::paths;

use super::calls::write_xml;
use super::{HostDriver, exhausted, exhausted_at_host};
use crate::describe::Describer;
use crate::kernel::Issues;
use crate::parallel;
use crate::scan::Uevents;

/// What one thread has to itself.
struct Desk<'a> {
    describer: Describer<'a>,
    scratch: Vec<u8>,
}

/// What was done of one device.
struct Done<T> {
    /// `None` if the device is gone.
    result: Option<T>,
    issues: Issues,
}

/// Where a pass ends before its end.
enum End {
    /// The caller has seen enough.
    Enough,
    /// This device could not be described, since no more files may be open.
    Exhausted(usize),
}

impl HostDriver {
    pub(super) fn visit_documents(
        &self,
        list: ListFlags,
        xml: XmlFlags,
        visit: &mut XmlVisitor<'_>,
    ) -> Result<()> {
        let uevents = self.uevents_of_all()?;
        let names: Vec<_> = self.select(list, false)?.into_iter().map(|device| device.name).collect();
        let write = |desk: &mut Desk<'_>, name: &DeviceName, issues: &Issues| {
            let known = self.shared.known(name).filter(|known| known.visibility == Visibility::Libvirt)?;
            let device = desk.describer.describe(known, issues)?;
            desk.scratch.clear();
            Some(
                write_xml(&device, xml, &mut desk.scratch)
                    .map(|()| Box::<[u8]>::from(desk.scratch.as_slice())),
            )
        };
        let start = || Describer::new(&self.shared, Some(&uevents));
        self.pass(&names, start, write, |name, Done { result, issues }| {
            if let Some(number) = issues.exhausted() {
                return visit(name, Err(exhausted(number, format_args!("cannot look at '{name}'"))));
            }
            match result {
                Some(Ok(text)) => visit(name, Ok(text)),
                Some(Err(error)) => visit(name, Err(error.clone())),
                None => ControlFlow::Continue(()),
            }
        });
        Ok(())
    }

    pub(super) fn visit_devices(
        &self,
        view: View,
        after: Option<&str>,
        visit: &mut DeviceVisitor<'_>,
    ) -> Result<Vec<Issue>> {
        let uevents = self.uevents_of_all()?;
        let names = self.names_after(view, after)?;
        let found = Issues::default();
        let describe = |desk: &mut Desk<'_>, name: &DeviceName, issues: &Issues| {
            let device = desk.describer.describe(self.shared.known(name)?, issues)?;
            report_replaced(&device, &mut desk.scratch, issues);
            Some(device)
        };
        let start = || Describer::new(&self.shared, Some(&uevents)).natively();
        self.pass(&names, start, describe, |_, Done { result, issues }| {
            found.append(mem::take(issues));
            result.as_ref().map_or(ControlFlow::Continue(()), &mut *visit)
        });
        if let Some(number) = found.exhausted() {
            return Err(exhausted_at_host(number));
        }
        let mut all = self.shared.all_issues();
        all.extend(found.into_inner());
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Makes sure that all devices are known. Where the host must be looked at first, what that look read serves the pass too.
    fn uevents_of_all(&self) -> Result<Uevents> {
        let mut uevents = Uevents::default();
        self.shared.ensure_complete(Some(&mut uevents)).map_err(exhausted_at_host)?;
        Ok(uevents)
    }

    /// Does `work` for each device and gives what comes of it to `take`, in order, until it says stop.
    fn pass<'a, T: Send>(
        &self,
        names: &[DeviceName],
        describer: impl Fn() -> Describer<'a> + Sync,
        work: impl Fn(&mut Desk<'a>, &DeviceName, &Issues) -> Option<T> + Sync,
        mut take: impl FnMut(&DeviceName, &mut Done<T>) -> ControlFlow<()>,
    ) {
        let start = || Desk { describer: describer(), scratch: Vec::new() };
        let work = |desk: &mut Desk<'a>, at: usize| {
            let issues = Issues::default();
            Done { result: work(desk, &names[at], &issues), issues }
        };
        let mut run = |threads: usize, from: usize| {
            parallel::in_order(self.root(), threads, from..names.len(), start, work, |at, done| {
                // The other threads may have had the files that were wanting.
                if threads > 1 && done.issues.exhausted().is_some() {
                    return ControlFlow::Break(End::Exhausted(at));
                }
                take(&names[at], done).map_break(|()| End::Enough)
            })
        };
        if let ControlFlow::Break(End::Exhausted(at)) = run(self.shared.jobs.threads(names.len()), 0) {
            let _ = run(1, at);
        }
    }
}

/// Reports texts of a device that are not UTF-8: its document has something else in their places.
fn report_replaced(device: &NodeDevice, scratch: &mut Vec<u8>, issues: &Issues) {
    if device.visibility == Visibility::Native {
        return;
    }
    let before = issues.len();
    for element in nodedev_xml::replaced_texts(scratch, device) {
        let path = device.syspath.as_ref().map_or_else(|| format!("/{}", paths::DMI), ToString::to_string);
        issues.push(
            path,
            format!("the text of '{element}' is not UTF-8; XML has U+FFFD in the place of its bytes"),
        );
    }
    issues.attribute(before, &device.name);
}
