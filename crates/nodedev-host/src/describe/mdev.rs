//! Mediated devices and the types that parents can make.

use nodedev_model::{Capability, MdevCapability, MdevConfig, MdevType, MdevTypesCapability, Text};
use nodedev_sys::paths::{basename, parent};

use crate::index::Definition;
use crate::kernel::{KernelDevice, up_to_nul};
use crate::number;

/// A mediated device that exists now. Its parent's address is the name of the folder that it is in.
pub(super) fn active(device: &KernelDevice<'_>, definition: Option<&Definition>) -> Capability {
    let type_id = device.link("mdev_type").unwrap_or_else(|| {
        device.issue("mdev_type", "the link to its type is missing");
        Vec::new()
    });
    let iommu_group =
        device.link("iommu_group").and_then(|group| number::u32(&group, 10)).unwrap_or_else(|| {
            device.issue("iommu_group", "the link to its IOMMU group is missing");
            0
        });
    Capability::Mdev(Box::new(MdevCapability {
        uuid: std::str::from_utf8(device.sysname()).ok().and_then(|name| name.parse().ok()),
        parent_addr: Some(basename(parent(device.path)).into()),
        iommu_group,
        active: Some(MdevConfig { type_id: type_id.into(), attributes: Vec::new() }),
        defined: definition.map(|definition| definition.config.clone()),
    }))
}

/// A mediated device that is only defined.
pub(super) fn inactive(definition: &Definition) -> Capability {
    Capability::Mdev(Box::new(MdevCapability {
        uuid: Some(definition.uuid),
        parent_addr: Some(Text::from(&*definition.parent_addr)),
        iommu_group: 0,
        active: None,
        defined: Some(definition.config.clone()),
    }))
}

/// A parent that is nothing else.
pub(super) fn types_only(device: &KernelDevice<'_>) -> Capability {
    Capability::MdevTypes(MdevTypesCapability { types: types(device) })
}

/// The types that a parent can make, sorted by id. One whose API or number of instances is missing is left out.
pub(super) fn types(device: &KernelDevice<'_>) -> Vec<MdevType> {
    let Some(folder) = device.folder() else { return Vec::new() };
    let mut path = Vec::new();
    let all = match folder.open(b"mdev_supported_types", &mut path) {
        Ok(Some(all)) => all,
        Ok(None) => return Vec::new(),
        Err(error) => {
            device.issues.error(&error);
            return Vec::new();
        }
    };
    let mut names = all.names().unwrap_or_else(|error| {
        device.issues.error(&error);
        Vec::new()
    });
    names.sort_unstable();
    let mut buffer = Vec::new();
    let mut read = |id: &[u8], name: &str| {
        let mut path = Vec::new();
        match all.open(id, &mut path).and_then(|folder| match folder {
            Some(folder) => {
                let value = folder.read(name.as_bytes(), &mut buffer)?.map(up_to_nul);
                Ok(value.map(|value| value.strip_suffix(b"\n").unwrap_or(value).to_vec()))
            }
            None => Ok(None),
        }) {
            Ok(value) => value,
            Err(error) => {
                device.issues.error(&error);
                None
            }
        }
    };
    names
        .iter()
        .filter_map(|id| {
            let complete =
                read(id, "device_api").zip(read(id, "available_instances").and_then(|n| number::u32(&n, 10)));
            let Some((device_api, available_instances)) = complete else {
                let file = format!("mdev_supported_types/{}", Text::from(&**id));
                device
                    .issue(&file, "not a complete type of mediated device (device_api, available_instances)");
                return None;
            };
            let name = read(id, "name").map(Text::from);
            Some(MdevType { id: Text::from(&**id), name, device_api: device_api.into(), available_instances })
        })
        .collect()
}
