//! What `nodedevd` does beyond libvirt's calls: devices as values, and hand-overs with a plan.

use std::ops::ControlFlow;

use nodedev_driver::Changes as _;
use nodedev_driver::{
    ChangeRequest, DetachOptions, DeviceVisitor, Devices, Entry, Error, ErrorCode, ErrorDomain,
    ExplainOptions, Operations, ReattachOptions, ResetOptions, Result, View,
};
use nodedev_model::request::{
    CallError, DetachRequest, DeviceRequest, ExplainAnswer, ExplainReply, ExplainRequest, ForgetRequest,
    HandoversRequest, NamedCall, PlanChangeRequest, ReattachRequest, ResetRequest, VisitReply, VisitRequest,
};
use nodedev_model::{ChangePlan, DeviceName, Explanation, HandoverPlan, Handovers, Issue, NodeDevice};
use nodedev_rpc::{NamedQuestion, NativeCall, NativeReply, Opaque, Str};

use crate::driver::RemoteDriver;
use crate::failure;

/// So many devices are asked about at once.
const AT_ONCE: usize = 64;

impl RemoteDriver {
    /// Makes a call by name.
    ///
    /// # Errors
    /// As [`call_named`](Self::call_named).
    pub fn named<C: NamedCall>(&self, request: &C) -> Result<C::Reply> {
        let json = serde_json::to_vec(request).map_err(failure::too_long)?;
        let reply = self.call_named(C::CALL.as_str(), &json)?;
        serde_json::from_slice(&reply).map_err(failure::violation)
    }

    /// Makes a call by name with a request in JSON, and gives the JSON of the reply: for calls that this version does not know.
    ///
    /// # Errors
    /// [`Error::no_native_call`] of a daemon that is not `nodedevd`; of an older one, that it is; the daemon's; those of the
    /// connection.
    pub fn call_named(&self, name: &str, json: &[u8]) -> Result<Vec<u8>> {
        let question = NamedQuestion {
            name: Str::new(name).map_err(failure::too_long)?,
            json: Opaque::new(json).map_err(failure::too_long)?,
        };
        let answer = self.link().call_native(&NativeCall::Named(question), |reply| match reply {
            NativeReply::Named(answer) => Ok(answer.json.as_bytes().to_vec()),
            _ => Err(failure::violation("another reply than that to a call by name")),
        });
        match answer {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(Error::no_native_call()),
            // One that has the program, and not this call of it.
            Err(error) if is_older(&error, name) => {
                Err(Error::no_support(name).with_help("the daemon is older than this call; update it"))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a daemon says that it lacks the procedure, or the call of this name, and not the devices something.
fn is_older(error: &Error, name: &str) -> bool {
    error.code() == ErrorCode::NO_SUPPORT
        && (error.help().is_some() || error.message() == Error::no_support(name).message())
}

/// Nothing is forced from afar.
fn not_forced(force: bool) -> Result<()> {
    if !force {
        return Ok(());
    }
    let detail = "no client of a daemon can force what is refused";
    Err(Error::new(ErrorDomain::NODEDEV, ErrorCode::OPERATION_DENIED, detail)
        .with_help("run the command on the machine of the devices"))
}

impl Devices for RemoteDriver {
    fn entries(&self, view: View) -> Result<Vec<Entry>> {
        Ok(self.snapshot(view)?.entries)
    }

    fn device(&self, name: &str) -> Result<NodeDevice> {
        self.named(&DeviceRequest { name: name.to_owned() })
    }

    /// Devices come in pages; those that come and go meanwhile may be told or not.
    fn visit_from(
        &self,
        view: View,
        after: Option<&str>,
        visit: &mut DeviceVisitor<'_>,
    ) -> Result<Vec<Issue>> {
        let after = after.map(str::parse).transpose().map_err(failure::violation)?;
        let mut request = VisitRequest { native: view == View::Native, after, only_issues: false };
        let mut all = Vec::new();
        loop {
            let VisitReply { devices, issues, more } = self.named(&request)?;
            all.extend(issues);
            let last: Option<DeviceName> = devices.last().map(|device| device.name.clone());
            for device in &devices {
                if visit(device).is_break() {
                    return Ok(in_order(all));
                }
            }
            match last {
                Some(last) if more => {
                    if request.after.as_ref().is_some_and(|after| last <= *after) {
                        return Err(failure::violation("a page of devices goes back"));
                    }
                    request.after = Some(last);
                }
                None if more => {
                    return Err(failure::violation("a page without devices that is not the last"));
                }
                _ => return Ok(in_order(all)),
            }
        }
    }

    fn issues(&self) -> Result<Vec<Issue>> {
        let request = VisitRequest { native: true, after: None, only_issues: true };
        Ok(in_order(self.named(&request)?.issues))
    }
}

/// Issues as they are told of a whole host.
fn in_order(mut issues: Vec<Issue>) -> Vec<Issue> {
    issues.sort_unstable();
    issues.dedup();
    issues
}

/// Who asks is known to the daemon: what callers say of themselves stays here.
impl Operations for RemoteDriver {
    fn detach_with(&self, name: &str, options: &DetachOptions) -> Result<HandoverPlan> {
        let DetachOptions { kernel_driver, group, force, dry_run, caller: _, rules: _ } = options;
        not_forced(*force)?;
        self.named(&DetachRequest {
            name: name.to_owned(),
            kernel_driver: kernel_driver.clone(),
            group: *group,
            dry_run: *dry_run,
        })
    }

    fn reattach_with(&self, name: &str, options: &ReattachOptions) -> Result<HandoverPlan> {
        let ReattachOptions { group, dry_run, rules: _ } = *options;
        self.named(&ReattachRequest { name: name.to_owned(), group, dry_run })
    }

    fn reset_with(&self, name: &str, options: &ResetOptions) -> Result<HandoverPlan> {
        let ResetOptions { force, dry_run, rules: _ } = *options;
        not_forced(force)?;
        self.named(&ResetRequest { name: name.to_owned(), dry_run })
    }

    fn plan_change(&self, request: &ChangeRequest<'_>) -> Result<ChangePlan> {
        let name = |name: &str| name.to_owned();
        self.named(&match *request {
            ChangeRequest::Create { xml, flags } => {
                PlanChangeRequest::Create { xml: xml.into(), flags: flags.bits() }
            }
            ChangeRequest::Define { xml, flags } => {
                PlanChangeRequest::Define { xml: xml.into(), flags: flags.bits() }
            }
            ChangeRequest::Start(device) => PlanChangeRequest::Start { name: name(device) },
            ChangeRequest::Destroy(device) => PlanChangeRequest::Destroy { name: name(device) },
            ChangeRequest::Undefine(device) => PlanChangeRequest::Undefine { name: name(device) },
            ChangeRequest::Update { name: device, xml, flags } => {
                PlanChangeRequest::Update { name: name(device), xml: xml.into(), flags: flags.bits() }
            }
            ChangeRequest::SetAutostart { name: device, autostart } => {
                PlanChangeRequest::SetAutostart { name: name(device), autostart }
            }
        })
    }

    fn explain(&self, name: &str, options: &ExplainOptions) -> Result<Explanation> {
        let mut answers = self.ask(&[name], options)?.into_iter();
        answers.next().ok_or_else(|| failure::violation("no answer about a device"))?
    }

    fn explain_each(
        &self,
        names: &[&str],
        options: &ExplainOptions,
        tell: &mut dyn FnMut(&str, Result<Explanation>) -> ControlFlow<()>,
    ) {
        for some in names.chunks(AT_ONCE) {
            let answers = match self.ask(some, options) {
                Ok(answers) => answers,
                Err(error) => some.iter().map(|_| Err(error.clone())).collect(),
            };
            for (name, answer) in some.iter().zip(answers) {
                if tell(name, answer).is_break() {
                    return;
                }
            }
        }
    }

    fn handovers(&self) -> Result<Handovers> {
        self.named(&HandoversRequest {})
    }

    fn forget_handover(&self, name: &str) -> Result<bool> {
        Ok(self.named(&ForgetRequest { name: name.to_owned() })?.forgotten)
    }

    /// A daemon recovers by itself, when it starts.
    fn recover_handovers(&self) -> Result<Vec<Issue>> {
        Ok(Vec::new())
    }
}

impl RemoteDriver {
    /// Answers about devices, as many as there are names.
    fn ask(&self, names: &[&str], options: &ExplainOptions) -> Result<Vec<Result<Explanation>>> {
        let ExplainOptions { kernel_driver, caller: _ } = options;
        let request = ExplainRequest {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            kernel_driver: kernel_driver.clone(),
        };
        let ExplainReply { answers } = self.named(&request)?;
        if answers.len() != names.len() {
            let detail = format!("{} answers about {} devices", answers.len(), names.len());
            return Err(failure::violation(detail));
        }
        Ok(answers.into_iter().map(answer).collect())
    }
}

fn answer(answer: ExplainAnswer) -> Result<Explanation> {
    match answer {
        ExplainAnswer::Explanation(explanation) => Ok(explanation),
        ExplainAnswer::Error(CallError { code, domain, message, help }) => {
            let error = Error::raw(ErrorDomain(domain), ErrorCode(code), message);
            Err(match help {
                Some(help) => error.with_help(help),
                None => error,
            })
        }
    }
}
