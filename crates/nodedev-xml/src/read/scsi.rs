use nodedev_model::{
    FcHost, FcRemotePort, ScsiCapability, ScsiGenericCapability, ScsiHostCapability, ScsiTargetCapability,
    Text, VportOps,
};

use super::Mode;
use super::reader::{Reader, Step};
use crate::dom::NodeId;

pub(super) fn host(r: &mut Reader<'_, '_>, node: NodeId) -> Step<ScsiHostCapability> {
    let mut host = ScsiHostCapability::default();
    if r.options.mode == Mode::Create {
        // Neither number is read, and both print as 0.
        host.unique_id = Some(0);
    } else {
        host.host = r.required_number(node, "host", "SCSI host ID")?;
        let id = r.text(node, "unique_id");
        let at = r.doc.element(node, "unique_id").unwrap_or(node);
        host.unique_id = r.optional_int(at, id.as_deref(), 10, "unique_id")?;
    }
    for nested in r.elements(node, "capability") {
        match r.doc.property(nested, "type") {
            None => r.internal(nested, "missing SCSI host capability type")?,
            Some("vport_ops") => {
                host.vport_ops = Some(VportOps {
                    max_vports: r.extra_number(nested, "max_vports")?,
                    vports: r.extra_number(nested, "vports")?,
                });
            }
            Some("fc_host") => {
                host.fc_host = Some(FcHost {
                    wwnn: world_wide_name(r, nested, "wwnn")?,
                    wwpn: world_wide_name(r, nested, "wwpn")?,
                    fabric_wwn: r.optional(nested, "fabric_wwn"),
                });
            }
            Some(other) => r.internal(nested, format!("unknown SCSI host capability type '{other}'"))?,
        }
    }
    Ok(host)
}

/// A World Wide Name of a Fibre Channel host, made up if the document leaves it out.
fn world_wide_name(r: &mut Reader<'_, '_>, node: NodeId, child: &'static str) -> Step<Option<Text>> {
    if let Some(name) = r.string(node, child) {
        return Ok(Some(name));
    }
    if let Some(generator) = &mut r.options.wwn_generator {
        return Ok(Some(generator.generate()));
    }
    let at = r.doc.element(node, child).unwrap_or(node);
    let what = format!("no {} supplied for '{}', and auto-generation failed", child.to_uppercase(), r.name);
    r.mistake(at, crate::ErrorDomain::NODEDEV, crate::ErrorCode::INTERNAL_ERROR, what)?;
    Ok(None)
}

pub(super) fn target(r: &mut Reader<'_, '_>, node: NodeId) -> Step<ScsiTargetCapability> {
    let target = r.string(node, "target");
    if target.is_none() {
        r.internal(node, "no target name supplied")?;
    }
    let mut fc_remote_port = None;
    for nested in r.elements(node, "capability") {
        match r.doc.property(nested, "type") {
            None => r.internal(nested, "missing type for SCSI target capability")?,
            Some("fc_remote_port") => {
                let (rport, wwpn) = (r.string(nested, "rport"), r.string(nested, "wwpn"));
                if rport.is_none() {
                    r.internal(nested, "missing rport name")?;
                }
                if wwpn.is_none() {
                    r.internal(nested, "missing wwpn identifier")?;
                }
                fc_remote_port =
                    Some(FcRemotePort { rport: rport.unwrap_or_default(), wwpn: wwpn.unwrap_or_default() });
            }
            Some(other) => r.internal(nested, format!("unknown SCSI target capability type '{other}'"))?,
        }
    }
    Ok(ScsiTargetCapability {
        target: target.unwrap_or_default(),
        fc_remote_port,
        ..ScsiTargetCapability::default()
    })
}

pub(super) fn unit(r: &mut Reader<'_, '_>, node: NodeId) -> Step<ScsiCapability> {
    Ok(ScsiCapability {
        host: r.required_number(node, "host", "SCSI host ID")?,
        bus: r.required_number(node, "bus", "SCSI bus ID")?,
        target: r.required_number(node, "target", "SCSI target ID")?,
        lun: r.required_number::<u32>(node, "lun", "SCSI LUN ID")?.into(),
        kind: r.optional(node, "type"),
        ..ScsiCapability::default()
    })
}

pub(super) fn generic(r: &mut Reader<'_, '_>, node: NodeId) -> Step<ScsiGenericCapability> {
    let path = r.string(node, "char");
    if path.is_none() {
        r.internal(node, "no character device path supplied")?;
    }
    Ok(ScsiGenericCapability { path: path.unwrap_or_default() })
}
