//! Calls of program NODEDEV that are made by name: each has a request and a reply in JSON.

use std::ops::ControlFlow;

use nodedev_driver::{
    ChangeRequest, CreateFlags, DetachOptions, Error, ErrorCode, ErrorDomain, ExplainOptions, Operations,
    ReattachOptions, ResetOptions, Rules, UpdateFlags, View,
};
use nodedev_model::request::{
    CallAccess, CallError, CallName, DetachRequest, DeviceRequest, ExplainAnswer, ExplainReply,
    ExplainRequest, ForgetReply, ForgetRequest, HandoversRequest, NAMES_MAX, NamedCall, PlanChangeRequest,
    ReattachRequest, ResetRequest, VisitRequest,
};
use nodedev_model::{ChangePlan, DeviceName, HandoverPlan, NodeDevice, PciAddress};
use nodedev_rpc::{Cost, Fault, Header, NamedAnswer, NamedQuestion, NativeReply, Opaque, Permission};
use serde::Serialize;

use crate::access::denied;
use crate::dispatch::{Caller, audit};
use crate::failure::Failure;

/// A page of devices ends after so many bytes of JSON.
const PAGE: usize = 1 << 20;

/// How long a call takes.
pub(crate) fn cost(question: &NamedQuestion<'_>) -> Cost {
    match question.name.to_str().ok().and_then(CallName::from_name).map(CallName::access) {
        Some(CallAccess::Query | CallAccess::Inspect) => Cost::Look,
        Some(CallAccess::Manage) => Cost::Wait,
        None => Cost::Quick,
    }
}

impl Caller {
    /// Runs a call, and puts the reply into the client's queue.
    pub(crate) fn answer_named(&self, header: &Header, question: &NamedQuestion<'_>) -> Result<(), Failure> {
        let name = question.name.to_string_lossy();
        let Some(call) = CallName::from_name(&name) else {
            return Err(Error::no_support(&name).into());
        };
        let read_only = self.connection.is_none_or(|connection| connection.read_only);
        if read_only && call.access() != CallAccess::Query {
            let detail = format!("read only access prevents {}", call.as_str());
            return Err(Error::new(ErrorDomain::NODEDEV, ErrorCode::OPERATION_DENIED, detail).into());
        }
        let json = question.json.as_bytes();
        let answer = match call {
            CallName::Device => self.run(json, |asked: DeviceRequest| self.device(&asked)),
            CallName::Visit => read(json).and_then(|asked| self.visit(&asked)),
            CallName::Explain => self.run(json, |asked: ExplainRequest| self.explain(&asked)),
            CallName::PlanChange => self.run(json, |asked: PlanChangeRequest| self.plan_change(&asked)),
            CallName::Handovers => self.run(json, |HandoversRequest {}| {
                self.may(CallName::Handovers, None)?;
                Ok(self.operations()?.handovers()?)
            }),
            CallName::Detach => self.change_device(json, |asked: DetachRequest, operations| {
                let DetachRequest { name, kernel_driver, group, dry_run } = asked;
                let mut options = DetachOptions {
                    kernel_driver,
                    group,
                    dry_run: true,
                    caller: self.identity.caller(),
                    rules: Rules::Served,
                    ..DetachOptions::default()
                };
                if group {
                    self.may_all(CallName::Detach, || operations.detach_with(&name, &options))?;
                }
                options.dry_run = dry_run;
                operations.detach_with(&name, &options)
            }),
            CallName::Reattach => self.change_device(json, |asked: ReattachRequest, operations| {
                let ReattachRequest { name, group, dry_run } = asked;
                let mut options = ReattachOptions { group, dry_run: true, rules: Rules::Served };
                if group {
                    self.may_all(CallName::Reattach, || operations.reattach_with(&name, &options))?;
                }
                options.dry_run = dry_run;
                operations.reattach_with(&name, &options)
            }),
            CallName::Reset => self.change_device(json, |asked: ResetRequest, operations| {
                let ResetRequest { name, dry_run } = asked;
                operations.reset_with(
                    &name,
                    &ResetOptions { dry_run, rules: Rules::Served, ..ResetOptions::default() },
                )
            }),
            CallName::Forget => self.change_device(json, |asked: ForgetRequest, operations| {
                Ok(ForgetReply { forgotten: operations.forget_handover(&asked.name)? })
            }),
        }?;
        let json = Opaque::new(&answer).map_err(|_| Fault::unencodable())?;
        let mut out = Vec::new();
        let reply = NativeReply::Named(NamedAnswer { json });
        reply.encode(header.serial, &mut out).map_err(|_| Fault::unencodable())?;
        self.listener.outbox.reply(out.into());
        Ok(())
    }

    fn operations(&self) -> Result<&dyn Operations, Error> {
        self.service.driver.operations()
    }

    /// Refuses a call unless the caller may make it; with a device, where it is about one.
    fn may(&self, call: CallName, device: Option<&str>) -> Result<(), Error> {
        let access = &self.service.access;
        match access.allows_all() || access.allows(&self.identity, &Permission::of_call(call), device)? {
            true => Ok(()),
            false => Err(denied()),
        }
    }

    /// Refuses a call about a group unless the caller may make it with each of its devices, which a plan tells.
    fn may_all(
        &self,
        call: CallName,
        plan: impl FnOnce() -> Result<HandoverPlan, Error>,
    ) -> Result<(), Error> {
        if self.service.access.allows_all() {
            return Ok(());
        }
        plan()?.devices.iter().try_for_each(|device| self.may(call, Some(device.name.as_str())))
    }

    /// Reads a request and writes what it is answered with.
    fn run<C: NamedCall>(
        &self,
        json: &[u8],
        answer: impl FnOnce(C) -> Result<C::Reply, Failure>,
    ) -> Result<Vec<u8>, Failure> {
        written(&answer(read(json)?)?)
    }

    /// The same for a request to change a device, of which the log tells.
    fn change_device<C: NamedCall + AboutDevice>(
        &self,
        json: &[u8],
        act: impl FnOnce(C, &dyn Operations) -> Result<C::Reply, Error>,
    ) -> Result<Vec<u8>, Failure> {
        self.run(json, |request: C| {
            let (name, is_dry) = (called(request.device()), request.is_dry());
            let done = self.may(C::CALL, Some(&name)).and_then(|()| act(request, self.operations()?));
            if !is_dry {
                audit::note_named(self, C::CALL, &name, done.as_ref().err());
            }
            Ok(done?)
        })
    }

    fn device(&self, asked: &DeviceRequest) -> Result<NodeDevice, Failure> {
        self.may(CallName::Device, Some(&asked.name))?;
        Ok(self.service.driver.devices()?.device(&asked.name)?)
    }

    /// Devices from the one after `after` on, until a page is full: a [`VisitReply`](nodedev_model::request::VisitReply), written device by device.
    fn visit(&self, asked: &VisitRequest) -> Result<Vec<u8>, Failure> {
        let view = if asked.native { View::Native } else { View::Libvirt };
        let mut page = br#"{"devices":["#.to_vec();
        let start = page.len();
        let (mut more, mut failure) = (false, None);
        let shows_all = self.service.access.allows_all();
        let after = asked.after.as_ref().map(DeviceName::as_str);
        let issues = self.service.driver.devices()?.visit_from(view, after, &mut |device| {
            if page.len() >= PAGE {
                more = true;
                return ControlFlow::Break(());
            }
            if asked.only_issues || !(shows_all || self.shows(device.name.as_str(), &mut failure)) {
                return if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            }
            if page.len() > start {
                page.push(b',');
            }
            match written(device) {
                Ok(json) => page.extend(json),
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        page.extend_from_slice(br#"],"issues":"#);
        page.extend(written(&issues)?);
        page.extend_from_slice(if more { br#","more":true}"# } else { br#","more":false}"# });
        Ok(page)
    }

    /// Whether the caller may see a device.
    fn shows(&self, name: &str, failure: &mut Option<Failure>) -> bool {
        match self.service.access.allows(&self.identity, &Permission::of_call(CallName::Visit), Some(name)) {
            Ok(shows) => shows,
            Err(error) => {
                *failure = Some(error.into());
                false
            }
        }
    }

    fn plan_change(&self, asked: &PlanChangeRequest) -> Result<ChangePlan, Failure> {
        self.may(CallName::PlanChange, asked.name())?;
        let create = |xml, flags: &u32| (xml, CreateFlags::from_bits_retain(*flags));
        let request = match asked {
            PlanChangeRequest::Create { xml, flags } => {
                let (xml, flags) = create(xml.as_bytes(), flags);
                ChangeRequest::Create { xml, flags }
            }
            PlanChangeRequest::Define { xml, flags } => {
                let (xml, flags) = create(xml.as_bytes(), flags);
                ChangeRequest::Define { xml, flags }
            }
            PlanChangeRequest::Start { name } => ChangeRequest::Start(name),
            PlanChangeRequest::Destroy { name } => ChangeRequest::Destroy(name),
            PlanChangeRequest::Undefine { name } => ChangeRequest::Undefine(name),
            PlanChangeRequest::Update { name, xml, flags } => ChangeRequest::Update {
                name,
                xml: xml.as_bytes(),
                flags: UpdateFlags::from_bits_retain(*flags),
            },
            PlanChangeRequest::SetAutostart { name, autostart } => {
                ChangeRequest::SetAutostart { name, autostart: *autostart }
            }
        };
        Ok(self.operations()?.plan_change(&request)?)
    }

    fn explain(&self, asked: &ExplainRequest) -> Result<ExplainReply, Failure> {
        if asked.names.len() > NAMES_MAX {
            let detail =
                format!("{} names in one request, of which there can be {NAMES_MAX}", asked.names.len());
            return Err(Error::new(ErrorDomain::NODEDEV, ErrorCode::INVALID_ARG, detail).into());
        }
        for name in &asked.names {
            self.may(CallName::Explain, Some(name))?;
        }
        let names: Vec<&str> = asked.names.iter().map(String::as_str).collect();
        let options =
            ExplainOptions { kernel_driver: asked.kernel_driver.clone(), caller: self.identity.caller() };
        let mut answers = Vec::with_capacity(names.len());
        self.operations()?.explain_each(&names, &options, &mut |_, explained| {
            answers.push(match explained {
                Ok(explanation) => ExplainAnswer::Explanation(explanation),
                Err(error) => ExplainAnswer::Error(CallError {
                    code: error.code().0,
                    domain: error.domain().0,
                    message: error.message().to_owned(),
                    help: error.help().map(str::to_owned),
                }),
            });
            ControlFlow::Continue(())
        });
        Ok(ExplainReply { answers })
    }
}

/// The name of a device that a request calls by its name or its PCI address: rules of access know names.
fn called(device: &str) -> String {
    match device.parse::<PciAddress>() {
        Ok(address) => {
            DeviceName::from_parts(b"pci", address.to_string().as_bytes(), None).as_str().to_owned()
        }
        Err(_) => device.to_owned(),
    }
}

/// A request about one device.
trait AboutDevice {
    fn device(&self) -> &str;

    /// Whether nothing is to be done.
    fn is_dry(&self) -> bool;
}

macro_rules! about_device {
    ($($request:ty: $dry:expr;)*) => {
        $(impl AboutDevice for $request {
            fn device(&self) -> &str {
                &self.name
            }

            fn is_dry(&self) -> bool {
                let is_dry: fn(&Self) -> bool = $dry;
                is_dry(self)
            }
        })*
    };
}

about_device! {
    DetachRequest: |request| request.dry_run;
    ReattachRequest: |request| request.dry_run;
    ResetRequest: |request| request.dry_run;
    ForgetRequest: |_| false;
}

/// Reads a request.
fn read<C: NamedCall>(json: &[u8]) -> Result<C, Failure> {
    serde_json::from_slice(json).map_err(|error| {
        let detail = format!("the request for {}: {error}", C::CALL.as_str());
        Error::new(ErrorDomain::NODEDEV, ErrorCode::INVALID_ARG, detail).into()
    })
}

fn written(reply: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(reply).map_err(|error| {
        Error::internal(ErrorDomain::NODEDEV, format!("the reply cannot be written: {error}")).into()
    })
}
