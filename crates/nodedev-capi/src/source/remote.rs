//! Devices of a daemon: each of libvirt's functions is one call, as libvirt's own library makes it.

use std::ffi::{CStr, CString};

use nodedev_driver::{Error, ErrorCode, ErrorDomain, HostInfo, Result, Watch};
use nodedev_remote::{End, Pings, RemoteDriver};
use nodedev_rpc::bounds::{NODE_DEVICE_CAPS_LIST_MAX, NODE_DEVICE_LIST_MAX};
use nodedev_rpc::{
    Array, Autostart, Call, CountDevices, Detach, Device, DeviceFlags, Document, Flags, Identity,
    ListAllDevices, ListCapabilities, ListDevices, Number, OptionalText, Rpc, Str, Text, TypedParameter,
    TypedValue, Update, Void, WorldWideNames, calls,
};

use super::{Source, Value};
use crate::c_memory::c_string;

/// A daemon, and how its connection is protected.
pub(crate) struct Remote {
    pub(crate) driver: RemoteDriver,
    /// Whether the transport encrypts.
    pub(crate) encrypted: bool,
    /// Whether nobody else can read what is sent: it is encrypted, or does not leave the machine.
    pub(crate) secure: bool,
}

impl Remote {
    fn call<P: Rpc, T>(
        &self,
        call: &Call<'_>,
        read: impl for<'a> FnOnce(P::Reply<'a>) -> Result<T>,
    ) -> Result<T> {
        if !self.driver.is_alive() {
            // What ended it was told to the calls that waited then.
            return Err(Error::internal(ErrorDomain::RPC, "client socket is closed"));
        }
        self.driver.call::<P, T>(call, read)
    }

    fn done<P>(&self, call: &Call<'_>) -> Result<()>
    where
        P: for<'a> Rpc<Reply<'a> = Void>,
    {
        self.call::<P, _>(call, |Void| Ok(()))
    }

    fn number<P>(&self, call: &Call<'_>) -> Result<i32>
    where
        P: for<'a> Rpc<Reply<'a> = Number>,
    {
        self.call::<P, _>(call, |reply| Ok(reply.number))
    }

    fn text<P>(&self, call: &Call<'_>) -> Result<CString>
    where
        P: for<'a> Rpc<Reply<'a> = Text<'a>>,
    {
        self.call::<P, _>(call, |reply| Ok(c_string(reply.text.as_bytes())))
    }

    fn device<P>(&self, call: &Call<'_>) -> Result<CString>
    where
        P: for<'a> Rpc<Reply<'a> = Device<'a>>,
    {
        self.call::<P, _>(call, |reply| Ok(c_string(reply.name.as_bytes())))
    }
}

/// A text as an argument.
fn text(text: &CStr) -> Result<Str<'_>> {
    Str::new(text.to_bytes()).map_err(|error| {
        Error::new(ErrorDomain::RPC, ErrorCode::RPC, "Unable to encode message payload")
            .with_help(error.to_string())
    })
}

fn device(name: &CStr) -> Result<Device<'_>> {
    Ok(Device { name: text(name)? })
}

fn device_flags(name: &CStr, flags: u32) -> Result<DeviceFlags<'_>> {
    Ok(DeviceFlags { name: text(name)?, flags })
}

fn count(number: i32) -> Result<usize> {
    usize::try_from(number).map_err(|_| {
        Error::internal(ErrorDomain::REMOTE, format!("the daemon counts {number}, which is no count"))
    })
}

fn names<const MAX: usize>(names: &Array<Str<'_>, MAX>) -> Vec<CString> {
    names.iter().map(|name| c_string(name.as_bytes())).collect()
}

/// How many names may be asked for.
fn limit(most: usize, max: usize, function: &str) -> Result<i32> {
    if most > max {
        let detail = format!("too many remote strings: {most} > {max},in parameter 'names' for '{function}'");
        return Err(Error::new(ErrorDomain::REMOTE, ErrorCode::RPC, detail));
    }
    // Not above a constant of the protocol.
    Ok(i32::try_from(most).unwrap_or(i32::MAX))
}

impl Source for Remote {
    fn count(&self, capability: Option<&CStr>, flags: u32) -> Result<usize> {
        let wanted = CountDevices { capability: capability.map(text).transpose()?, flags };
        self.number::<calls::NodeNumOfDevices>(&Call::NodeNumOfDevices(wanted)).and_then(count)
    }

    fn names(&self, capability: Option<&CStr>, most: usize, flags: u32) -> Result<Vec<CString>> {
        let max_names = limit(most, NODE_DEVICE_LIST_MAX, "virNodeListDevices")?;
        let capability = capability.map(text).transpose()?;
        let call = Call::NodeListDevices(ListDevices { capability, max_names, flags });
        self.call::<calls::NodeListDevices, _>(&call, |reply| Ok(names(&reply.names)))
    }

    fn count_all(&self, flags: u32) -> Result<usize> {
        let call = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 0, flags });
        self.call::<calls::ConnectListAllNodeDevices, _>(&call, |reply| Ok(reply.count as usize))
    }

    fn list_all(&self, flags: u32) -> Result<Vec<CString>> {
        let call = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags });
        self.call::<calls::ConnectListAllNodeDevices, _>(&call, |reply| Ok(names(&reply.devices)))
    }

    fn lookup(&self, name: &CStr) -> Result<CString> {
        self.device::<calls::NodeDeviceLookupByName>(&Call::NodeDeviceLookupByName(device(name)?))
    }

    fn lookup_by_wwn(&self, wwnn: &CStr, wwpn: &CStr, flags: u32) -> Result<CString> {
        let wanted = WorldWideNames { wwnn: text(wwnn)?, wwpn: text(wwpn)?, flags };
        self.device::<calls::NodeDeviceLookupScsiHostByWwn>(&Call::NodeDeviceLookupScsiHostByWwn(wanted))
    }

    fn xml(&self, name: &CStr, flags: u32) -> Result<Vec<u8>> {
        let call = Call::NodeDeviceGetXmlDesc(device_flags(name, flags)?);
        self.call::<calls::NodeDeviceGetXmlDesc, _>(&call, |reply| Ok(reply.text.as_bytes().to_vec()))
    }

    fn parent(&self, name: &CStr) -> Result<Option<CString>> {
        let call = Call::NodeDeviceGetParent(device(name)?);
        self.call::<calls::NodeDeviceGetParent, _>(&call, |OptionalText { text }| {
            Ok(text.map(|text| c_string(text.as_bytes())))
        })
    }

    fn count_capabilities(&self, name: &CStr) -> Result<usize> {
        self.number::<calls::NodeDeviceNumOfCaps>(&Call::NodeDeviceNumOfCaps(device(name)?)).and_then(count)
    }

    fn capabilities(&self, name: &CStr, most: usize) -> Result<Vec<CString>> {
        let max_names = limit(most, NODE_DEVICE_CAPS_LIST_MAX, "virNodeDeviceListCaps")?;
        let call = Call::NodeDeviceListCaps(ListCapabilities { name: text(name)?, max_names });
        self.call::<calls::NodeDeviceListCaps, _>(&call, |reply| Ok(names(&reply.names)))
    }

    fn is_active(&self, name: &CStr) -> Result<bool> {
        Ok(self.number::<calls::NodeDeviceIsActive>(&Call::NodeDeviceIsActive(device(name)?))? != 0)
    }

    fn is_persistent(&self, name: &CStr) -> Result<bool> {
        Ok(self.number::<calls::NodeDeviceIsPersistent>(&Call::NodeDeviceIsPersistent(device(name)?))? != 0)
    }

    fn autostart(&self, name: &CStr) -> Result<bool> {
        Ok(self.number::<calls::NodeDeviceGetAutostart>(&Call::NodeDeviceGetAutostart(device(name)?))? != 0)
    }

    fn create_xml(&self, xml: &CStr, flags: u32) -> Result<CString> {
        let document = Document { xml: text(xml)?, flags };
        self.device::<calls::NodeDeviceCreateXml>(&Call::NodeDeviceCreateXml(document))
    }

    fn define_xml(&self, xml: &CStr, flags: u32) -> Result<CString> {
        let document = Document { xml: text(xml)?, flags };
        self.device::<calls::NodeDeviceDefineXml>(&Call::NodeDeviceDefineXml(document))
    }

    fn destroy(&self, name: &CStr) -> Result<()> {
        self.done::<calls::NodeDeviceDestroy>(&Call::NodeDeviceDestroy(device(name)?))
    }

    fn undefine(&self, name: &CStr, flags: u32) -> Result<()> {
        self.done::<calls::NodeDeviceUndefine>(&Call::NodeDeviceUndefine(device_flags(name, flags)?))
    }

    fn create(&self, name: &CStr, flags: u32) -> Result<()> {
        self.done::<calls::NodeDeviceCreate>(&Call::NodeDeviceCreate(device_flags(name, flags)?))
    }

    fn update(&self, name: &CStr, xml: &CStr, flags: u32) -> Result<()> {
        let update = Update { name: text(name)?, xml: text(xml)?, flags };
        self.done::<calls::NodeDeviceUpdate>(&Call::NodeDeviceUpdate(update))
    }

    fn set_autostart(&self, name: &CStr, autostart: bool) -> Result<()> {
        let wanted = Autostart { name: text(name)?, autostart: autostart.into() };
        self.done::<calls::NodeDeviceSetAutostart>(&Call::NodeDeviceSetAutostart(wanted))
    }

    fn detach(&self, name: &CStr) -> Result<()> {
        self.done::<calls::NodeDeviceDettach>(&Call::NodeDeviceDettach(device(name)?))
    }

    fn detach_flags(&self, name: &CStr, kernel_driver: Option<&CStr>, flags: u32) -> Result<()> {
        let driver = kernel_driver.map(text).transpose()?;
        let detach = Detach { name: text(name)?, driver, flags };
        self.done::<calls::NodeDeviceDetachFlags>(&Call::NodeDeviceDetachFlags(detach))
    }

    fn reattach(&self, name: &CStr) -> Result<()> {
        self.done::<calls::NodeDeviceReAttach>(&Call::NodeDeviceReAttach(device(name)?))
    }

    fn reset(&self, name: &CStr) -> Result<()> {
        self.done::<calls::NodeDeviceReset>(&Call::NodeDeviceReset(device(name)?))
    }

    fn watch(&self) -> Result<Watch> {
        self.driver.watch_events()
    }

    fn kind(&self) -> Result<CString> {
        self.text::<calls::ConnectGetType>(&Call::ConnectGetType(Void))
    }

    fn version(&self) -> Result<u64> {
        self.call::<calls::ConnectGetVersion, _>(&Call::ConnectGetVersion(Void), |reply| Ok(reply.version))
    }

    fn library_version(&self) -> Result<u64> {
        let call = Call::ConnectGetLibVersion(Void);
        self.call::<calls::ConnectGetLibVersion, _>(&call, |reply| Ok(reply.version))
    }

    fn host_name(&self) -> Result<CString> {
        self.text::<calls::ConnectGetHostname>(&Call::ConnectGetHostname(Void))
    }

    fn host_capabilities(&self) -> Result<CString> {
        self.text::<calls::ConnectGetCapabilities>(&Call::ConnectGetCapabilities(Void))
    }

    fn max_vcpus(&self, kind: Option<&CStr>) -> Result<i32> {
        let kind = OptionalText { text: kind.map(text).transpose()? };
        self.number::<calls::ConnectGetMaxVcpus>(&Call::ConnectGetMaxVcpus(kind))
    }

    fn sysinfo(&self, flags: u32) -> Result<CString> {
        self.text::<calls::ConnectGetSysinfo>(&Call::ConnectGetSysinfo(Flags { flags }))
    }

    fn host_info(&self) -> Result<HostInfo> {
        self.call::<calls::NodeGetInfo, _>(&Call::NodeGetInfo(Void), |info| {
            let number = |number: i32| u32::try_from(number).unwrap_or_default();
            Ok(HostInfo {
                architecture: Some(String::from_utf8_lossy(info.model.text()).into_owned()),
                memory_kib: info.memory_kib,
                cpus: number(info.cpus),
                mhz: number(info.mhz),
                nodes: number(info.nodes),
                sockets: number(info.sockets),
                cores: number(info.cores),
                threads: number(info.threads),
                ..HostInfo::default()
            })
        })
    }

    fn set_identity(&self, parameters: &[(CString, Value)], flags: u32) -> Result<()> {
        let parameters = parameters
            .iter()
            .map(|(field, value)| {
                let value = match value {
                    Value::Int(value) => TypedValue::Int(*value),
                    Value::Uint(value) => TypedValue::UInt(*value),
                    Value::Llong(value) => TypedValue::LLong(*value),
                    Value::Ullong(value) => TypedValue::ULLong(*value),
                    Value::Double(value) => TypedValue::Double(*value),
                    Value::Boolean(value) => TypedValue::Boolean(*value),
                    Value::String(value) => TypedValue::String(text(value)?),
                };
                Ok(TypedParameter { field: text(field)?, value })
            })
            .collect::<Result<Vec<_>>>()?;
        let parameters = Array::new(parameters).map_err(|_| {
            Error::new(ErrorDomain::REMOTE, ErrorCode::RPC, "too many parameters for an identity")
        })?;
        self.done::<calls::ConnectSetIdentity>(&Call::ConnectSetIdentity(Identity { parameters, flags }))
    }

    fn is_secure(&self) -> Result<bool> {
        let of_daemon = self.number::<calls::ConnectIsSecure>(&Call::ConnectIsSecure(Void))?;
        Ok(of_daemon != 0 && self.secure)
    }

    fn is_encrypted(&self) -> Result<bool> {
        self.number::<calls::ConnectIsSecure>(&Call::ConnectIsSecure(Void))?;
        Ok(self.encrypted)
    }

    fn is_alive(&self) -> bool {
        self.driver.is_alive()
    }

    fn set_pings(&self, pings: Option<Pings>) -> Result<bool> {
        self.driver.set_pings(pings)
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn on_end(&self, heir: Box<dyn FnOnce(End) + Send>) {
        self.driver.on_end(heir);
    }
}
