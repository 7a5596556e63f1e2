//! Calls that change a device.

use nodedev_driver::{CreateFlags, DetachOptions, Error, ErrorDomain, Rules, UpdateFlags};
use nodedev_model::DeviceName;
use nodedev_rpc::{Call, Device, Fault, Header, Reply, Str, Void};

use super::{Answer, Caller, audit, no_flags, reply, text};

impl Caller {
    /// Runs a call that changes a device, and notes who asked for it and what came of it.
    pub(super) fn change(&self, header: &Header, call: &Call<'_>) -> Answer {
        self.writable(call.procedure())?;
        let mut made = None;
        let answer = self.run_change(header, call, &mut made);
        audit::note(self, call, made.as_ref(), &answer);
        answer
    }

    /// Takes a device from the host for the client, as libvirt does.
    fn detach(&self, name: &str, kernel_driver: Option<&str>) -> Result<(), Error> {
        let options = DetachOptions {
            kernel_driver: kernel_driver.map(str::to_owned),
            caller: self.identity.caller(),
            rules: Rules::Libvirt,
            ..DetachOptions::default()
        };
        self.service.driver.operations()?.detach_with(name, &options).map(drop)
    }

    /// Runs the call; `made` is the name of a device that there was none of before.
    fn run_change(&self, header: &Header, call: &Call<'_>, made: &mut Option<DeviceName>) -> Answer {
        let procedure = call.procedure();
        let calls = self.service.driver.calls();
        let answer = match call {
            Call::NodeDeviceDettach(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                self.detach(&text(name), None)?;
                Reply::NodeDeviceDettach(Void)
            }
            Call::NodeDeviceReAttach(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                calls.reattach(&text(name))?;
                Reply::NodeDeviceReAttach(Void)
            }
            Call::NodeDeviceReset(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                calls.reset(&text(name))?;
                Reply::NodeDeviceReset(Void)
            }
            Call::NodeDeviceDetachFlags(detach) => {
                self.allowed_with(procedure, 0, &text(&detach.name))?;
                // None are known, and no driver could be told of any.
                if detach.flags != 0 {
                    return Err(Fault::no_support(procedure.number()).into());
                }
                let kernel_driver = detach.driver.as_ref().map(text);
                self.detach(&text(&detach.name), kernel_driver.as_deref())?;
                Reply::NodeDeviceDetachFlags(Void)
            }
            Call::NodeDeviceCreateXml(document) => {
                let flags = CreateFlags::from_bits_retain(document.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeDeviceCreateXML")?;
                self.allowed(procedure, 0, None)?;
                let name = &made.insert(calls.create_xml(document.xml.as_bytes(), flags)?);
                let name = Str::truncated(name.as_str());
                return reply(header, &Reply::NodeDeviceCreateXml(Device { name }));
            }
            Call::NodeDeviceDefineXml(document) => {
                let flags = CreateFlags::from_bits_retain(document.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeDeviceDefineXML")?;
                self.allowed(procedure, 0, None)?;
                let name = &made.insert(calls.define_xml(document.xml.as_bytes(), flags)?);
                let name = Str::truncated(name.as_str());
                return reply(header, &Reply::NodeDeviceDefineXml(Device { name }));
            }
            Call::NodeDeviceDestroy(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                calls.destroy(&text(name))?;
                Reply::NodeDeviceDestroy(Void)
            }
            Call::NodeDeviceUndefine(wanted) => {
                no_flags(wanted.flags, "nodeDeviceUndefine")?;
                self.allowed_with(procedure, 0, &text(&wanted.name))?;
                calls.undefine(&text(&wanted.name), wanted.flags)?;
                Reply::NodeDeviceUndefine(Void)
            }
            Call::NodeDeviceCreate(wanted) => {
                no_flags(wanted.flags, "nodeDeviceCreate")?;
                self.allowed_with(procedure, 0, &text(&wanted.name))?;
                calls.create(&text(&wanted.name), wanted.flags)?;
                Reply::NodeDeviceCreate(Void)
            }
            Call::NodeDeviceSetAutostart(wanted) => {
                self.allowed_with(procedure, 0, &text(&wanted.name))?;
                calls.set_autostart(&text(&wanted.name), wanted.autostart != 0)?;
                Reply::NodeDeviceSetAutostart(Void)
            }
            Call::NodeDeviceUpdate(update) => {
                let name = text(&update.name);
                let flags = UpdateFlags::from_bits_retain(update.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeDeviceUpdate")?;
                self.allowed_with(procedure, update.flags, &name)?;
                calls.update(&name, update.xml.as_bytes(), flags)?;
                Reply::NodeDeviceUpdate(Void)
            }
            _ => return Err(Fault::no_support(procedure.number()).into()),
        };
        reply(header, &answer)
    }
}
