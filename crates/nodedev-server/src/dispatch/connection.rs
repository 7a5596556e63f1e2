//! Calls about the connection, and about the machine.

use nodedev_driver::LIBVIRT_VERSION;
use nodedev_rpc::{Call, Fault, Feature, Header, Needs, Reply, Str, Text, Version, Void};

use super::{Answer, Caller, flag, reply};
use crate::host;

impl Caller {
    /// Runs a call about the connection or the machine.
    pub(super) fn about_connection(&self, header: &Header, call: &Call<'_>) -> Answer {
        let procedure = call.procedure();
        if call.needs() != Needs::Nothing {
            self.allowed(procedure, 0, None)?;
        }
        let calls = self.service.driver.calls();
        let answer = match call {
            Call::ConnectGetType(Void) => Reply::ConnectGetType(Text { text: Str::truncated("nodedev") }),
            Call::ConnectGetUri(Void) => {
                let uri = format!("nodedev:///{}", self.service.options.scope);
                return reply(header, &Reply::ConnectGetUri(Text { text: Str::truncated(&uri) }));
            }
            Call::ConnectGetLibVersion(Void) => {
                Reply::ConnectGetLibVersion(Version { version: LIBVIRT_VERSION })
            }
            Call::ConnectIsSecure(Void) => Reply::ConnectIsSecure(flag(true)),
            Call::ConnectSupportsFeature(question) => {
                Reply::ConnectSupportsFeature(flag(has_feature(question.feature)))
            }
            Call::ConnectRegisterCloseCallback(Void) => Reply::ConnectRegisterCloseCallback(Void),
            Call::ConnectUnregisterCloseCallback(Void) => Reply::ConnectUnregisterCloseCallback(Void),
            Call::ConnectGetHostname(Void) => {
                let hostname = calls.host_info()?.hostname;
                let hostname = hostname.ok_or_else(|| Fault::no_support(procedure.number()))?;
                let text = Str::truncated(&hostname);
                return reply(header, &Reply::ConnectGetHostname(Text { text }));
            }
            Call::NodeGetInfo(Void) => Reply::NodeGetInfo(host::node_info(&calls.host_info()?)),
            Call::ConnectGetCapabilities(Void) => {
                let xml = calls.host_info()?.capabilities_xml();
                let text = Str::truncated(&xml);
                return reply(header, &Reply::ConnectGetCapabilities(Text { text }));
            }
            _ => return Err(Fault::no_support(procedure.number()).into()),
        };
        reply(header, &answer)
    }
}

fn has_feature(feature: Feature) -> bool {
    matches!(
        feature,
        Feature::DescriptorPassing | Feature::Keepalive | Feature::EventCallbackIds | Feature::CloseCallback
    )
}
