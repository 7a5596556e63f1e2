//! What each element may hold.

use super::pattern::Pattern::{
    self, Either, Interleave, Many, ManyOf, One, Optional, OptionalOf, Some, Together,
};
use super::pattern::{Attribute, Choice, Content, Rule};
use super::values::Value;

const fn element(name: &'static str, value: Value) -> Rule {
    Rule { name, choice: Choice::Any, attributes: &[], content: Content::Text(value) }
}

const fn capability(
    kind: &'static [&'static str],
    attributes: &'static [Attribute],
    content: Content,
) -> Rule {
    Rule { name: "capability", choice: Choice::Word("type", kind), attributes, content }
}

const fn required(name: &'static str, value: Value) -> Attribute {
    Attribute { name, required: true, value }
}

const fn optional(name: &'static str, value: Value) -> Attribute {
    Attribute { name, required: false, value }
}

macro_rules! texts {
    ($($rule:ident = $name:literal $value:expr;)*) => {
        $(static $rule: Rule = element($name, $value);)*
    };
}

texts! {
    NAME = "name" Value::Any;
    PATH = "path" Value::Any;
    PRODUCT = "product" Value::Any;
    VENDOR = "vendor" Value::Any;
    VERSION = "version" Value::Any;
    SERIAL = "serial" Value::Any;
    RELEASE_DATE = "release_date" Value::Any;
    UUID = "uuid" Value::Uuid;
    CLASS = "class" Value::PciClass;
    DOMAIN = "domain" Value::Size;
    BUS = "bus" Value::Size;
    SLOT = "slot" Value::Size;
    FUNCTION = "function" Value::Size;
    DEVICE_NUMBER = "device" Value::Size;
    NUMBER = "number" Value::Size;
    USB_CLASS = "class" Value::Size;
    SUBCLASS = "subclass" Value::Size;
    PROTOCOL = "protocol" Value::Size;
    DESCRIPTION = "description" Value::Any;
    INTERFACE = "interface" Value::Any;
    MAC = "address" Value::Mac;
    HOST = "host" Value::Size;
    UNIQUE_ID = "unique_id" Value::Unsigned;
    WWNN = "wwnn" Value::WorldWideName;
    WWPN = "wwpn" Value::WorldWideName;
    FABRIC_WWN = "fabric_wwn" Value::WorldWideName;
    MAX_VPORTS = "max_vports" Value::Unsigned;
    VPORTS = "vports" Value::Unsigned;
    CHAR = "char" Value::Any;
    TARGET_NAME = "target" Value::Any;
    RPORT = "rport" Value::Any;
    TARGET = "target" Value::Size;
    LUN = "lun" Value::Size;
    SCSI_TYPE = "type" Value::Any;
    BLOCK = "block" Value::Path;
    STORAGE_BUS = "bus" Value::Any;
    DRIVE_TYPE = "drive_type" Value::Any;
    MODEL = "model" Value::Any;
    MEDIA_AVAILABLE = "media_available" Value::Word(&["0", "1"]);
    MEDIA_SIZE = "media_size" Value::Size;
    MEDIA_LABEL = "media_label" Value::Any;
    SIZE = "size" Value::Size;
    BLOCK_SIZE = "logical_block_size" Value::Size;
    NUM_BLOCKS = "num_blocks" Value::Size;
    DRM_TYPE = "type" Value::Word(&["primary", "control", "render"]);
    PARENT_ADDR = "parent_addr" Value::Any;
    STATE = "state" Value::Word(&["online", "offline"]);
    CSSID = "cssid" Value::Cssid;
    SSID = "ssid" Value::Ssid;
    DEVNO = "devno" Value::HexOrDecimal(4, 65535);
    GROUP_DEVICE = "group_device" Value::Any;
    CARD_TYPE = "card_type" Value::Any;
    CHPID = "chpid" Value::Any;
    CHARDEV = "chardev" Value::Path;
    AP_ADAPTER = "ap-adapter" Value::HexOrDecimal(2, 255);
    AP_DOMAIN = "ap-domain" Value::HexOrDecimal(4, 255);
    DEVICE_API = "deviceAPI" Value::Word(&["vfio-pci", "vfio-ccw", "vfio-ap"]);
    AVAILABLE_INSTANCES = "availableInstances" Value::Unsigned;
    VPD_NAME = "name" Value::VpdText;
    CHANGE_LEVEL = "change_level" Value::VpdText;
    MANUFACTURE_ID = "manufacture_id" Value::VpdText;
    PART_NUMBER = "part_number" Value::VpdText;
    SERIAL_NUMBER = "serial_number" Value::VpdText;
    ASSET_TAG = "asset_tag" Value::VpdText;
}

/// The document.
pub(super) static DEVICE: Rule = Rule {
    name: "device",
    choice: Choice::Any,
    attributes: &[],
    content: Content::Elements(&[Interleave(&[
        One(&NAME),
        Optional(&PATH),
        Many(&DEVNODE),
        OptionalOf(&[&PARENT_BY_NAMES, &PARENT_BY_FABRIC, &PARENT]),
        Optional(&DRIVER),
        ManyOf(&CAPABILITIES),
    ])]),
};

static DEVNODE: Rule = Rule {
    name: "devnode",
    choice: Choice::Any,
    attributes: &[required("type", Value::Word(&["dev", "link"]))],
    content: Content::Text(Value::Any),
};

static PARENT_BY_NAMES: Rule = Rule {
    name: "parent",
    choice: Choice::Has("wwnn"),
    attributes: &[required("wwnn", Value::WorldWideName), required("wwpn", Value::WorldWideName)],
    content: Content::Empty,
};

static PARENT_BY_FABRIC: Rule = Rule {
    name: "parent",
    choice: Choice::Has("fabric_wwn"),
    attributes: &[required("fabric_wwn", Value::WorldWideName)],
    content: Content::Empty,
};

static PARENT: Rule = element("parent", Value::Any);

static DRIVER: Rule =
    Rule { name: "driver", choice: Choice::Any, attributes: &[], content: Content::Elements(&[One(&NAME)]) };

static CAPABILITIES: [&Rule; 19] = [
    &SYSTEM,
    &PCI,
    &USB_DEVICE,
    &USB,
    &NET,
    &SCSI_GENERIC,
    &SCSI_HOST,
    &SCSI_TARGET,
    &SCSI,
    &STORAGE,
    &DRM,
    &MDEV,
    &CCW,
    &CCWGROUP,
    &CSS,
    &VDPA,
    &AP_CARD,
    &AP_QUEUE,
    &AP_MATRIX,
];

static SYSTEM: Rule =
    capability(&["system"], &[], Content::Elements(&[Optional(&PRODUCT), One(&HARDWARE), One(&FIRMWARE)]));

static HARDWARE: Rule = Rule {
    name: "hardware",
    choice: Choice::Any,
    attributes: &[],
    content: Content::Elements(&[Optional(&VENDOR), Optional(&VERSION), Optional(&SERIAL), One(&UUID)]),
};

static FIRMWARE: Rule = Rule {
    name: "firmware",
    choice: Choice::Any,
    attributes: &[],
    content: Content::Elements(&[Optional(&VENDOR), Optional(&VERSION), Optional(&RELEASE_DATE)]),
};

static PRODUCT_ID: Rule = Rule {
    name: "product",
    choice: Choice::Any,
    attributes: &[required("id", Value::Hex)],
    content: Content::Text(Value::Any),
};

static VENDOR_ID: Rule = Rule {
    name: "vendor",
    choice: Choice::Any,
    attributes: &[required("id", Value::Hex)],
    content: Content::Text(Value::Any),
};

static PCI: Rule = capability(
    &["pci"],
    &[],
    Content::Elements(&[
        Optional(&CLASS),
        One(&DOMAIN),
        One(&BUS),
        One(&SLOT),
        One(&FUNCTION),
        One(&PRODUCT_ID),
        One(&VENDOR_ID),
        Optional(&PHYS_FUNCTION),
        Optional(&VIRT_FUNCTIONS),
        Optional(&BRIDGE),
        Optional(&MDEV_TYPES),
        Optional(&VPD),
        Optional(&IOMMU_GROUP),
        Optional(&NUMA),
        Optional(&PCI_EXPRESS),
    ]),
);

static ADDRESS: Rule = Rule {
    name: "address",
    choice: Choice::Any,
    attributes: &[
        required("domain", Value::Hex),
        required("bus", Value::Hex),
        required("slot", Value::Hex),
        required("function", Value::Hex),
    ],
    content: Content::Empty,
};

static PHYS_FUNCTION: Rule = capability(&["phys_function"], &[], Content::Elements(&[Optional(&ADDRESS)]));

static VIRT_FUNCTIONS: Rule = capability(
    &["virt_functions"],
    &[optional("maxCount", Value::Unsigned)],
    Content::Elements(&[Many(&ADDRESS)]),
);

static BRIDGE: Rule = capability(&["pci-bridge", "cardbus-bridge"], &[], Content::Empty);

static IOMMU_GROUP: Rule = Rule {
    name: "iommuGroup",
    choice: Choice::Any,
    attributes: &[required("number", Value::Unsigned)],
    content: Content::Elements(&[Some(&ADDRESS)]),
};

static NUMA: Rule = Rule {
    name: "numa",
    choice: Choice::Any,
    attributes: &[optional("node", Value::Integer)],
    content: Content::Empty,
};

static PCI_EXPRESS: Rule = Rule {
    name: "pci-express",
    choice: Choice::Any,
    attributes: &[],
    content: Content::Elements(&[Many(&PCI_LINK)]),
};

static PCI_LINK: Rule = Rule {
    name: "link",
    choice: Choice::Any,
    attributes: &[
        required("validity", Value::Word(&["cap", "sta"])),
        optional("port", Value::Unsigned),
        optional("speed", Value::Speed),
        required("width", Value::Unsigned),
    ],
    content: Content::Empty,
};

static VPD: Rule = capability(
    &["vpd"],
    &[],
    Content::Elements(&[One(&VPD_NAME), Optional(&READ_ONLY), Optional(&READ_WRITE)]),
);

static READ_ONLY: Rule = Rule {
    name: "fields",
    choice: Choice::Word("access", &["readonly"]),
    attributes: &[],
    content: Content::Elements(&[
        Optional(&CHANGE_LEVEL),
        Optional(&MANUFACTURE_ID),
        Optional(&PART_NUMBER),
        Optional(&SERIAL_NUMBER),
        Many(&VENDOR_FIELD),
    ]),
};

static READ_WRITE: Rule = Rule {
    name: "fields",
    choice: Choice::Word("access", &["readwrite"]),
    attributes: &[],
    content: Content::Elements(&[Optional(&ASSET_TAG), Many(&VENDOR_FIELD), Many(&SYSTEM_FIELD)]),
};

static VENDOR_FIELD: Rule = Rule {
    name: "vendor_field",
    choice: Choice::Any,
    attributes: &[required("index", Value::VendorIndex)],
    content: Content::Text(Value::VpdText),
};

static SYSTEM_FIELD: Rule = Rule {
    name: "system_field",
    choice: Choice::Any,
    attributes: &[required("index", Value::SystemIndex)],
    content: Content::Text(Value::VpdText),
};

static USB_DEVICE: Rule = capability(
    &["usb_device"],
    &[],
    Content::Elements(&[One(&BUS), One(&DEVICE_NUMBER), One(&PRODUCT_ID), One(&VENDOR_ID)]),
);

static USB: Rule = capability(
    &["usb"],
    &[],
    Content::Elements(&[
        One(&NUMBER),
        One(&USB_CLASS),
        One(&SUBCLASS),
        One(&PROTOCOL),
        Optional(&DESCRIPTION),
    ]),
);

static NET: Rule = capability(
    &["net"],
    &[],
    Content::Elements(&[
        One(&INTERFACE),
        Optional(&MAC),
        Optional(&NET_LINK),
        Many(&FEATURE),
        Many(&NET_KIND),
    ]),
);

static NET_LINK: Rule = Rule {
    name: "link",
    choice: Choice::Any,
    attributes: &[
        optional("speed", Value::Unsigned),
        optional(
            "state",
            Value::Word(&["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"]),
        ),
    ],
    content: Content::Empty,
};

static FEATURE: Rule = Rule {
    name: "feature",
    choice: Choice::Any,
    attributes: &[required("name", Value::Feature)],
    content: Content::Empty,
};

static NET_KIND: Rule = capability(&["80203", "80211"], &[], Content::Empty);

static SCSI_GENERIC: Rule = capability(&["scsi_generic"], &[], Content::Elements(&[One(&CHAR)]));

static SCSI_HOST: Rule = capability(
    &["scsi_host"],
    &[],
    Content::Elements(&[One(&HOST), Optional(&UNIQUE_ID), ManyOf(&[&FC_HOST, &VPORT_OPS])]),
);

static FC_HOST: Rule =
    capability(&["fc_host"], &[], Content::Elements(&[One(&WWNN), One(&WWPN), Optional(&FABRIC_WWN)]));

static VPORT_OPS: Rule =
    capability(&["vport_ops"], &[], Content::Elements(&[One(&MAX_VPORTS), One(&VPORTS)]));

static SCSI_TARGET: Rule =
    capability(&["scsi_target"], &[], Content::Elements(&[One(&TARGET_NAME), Optional(&FC_REMOTE_PORT)]));

static FC_REMOTE_PORT: Rule =
    capability(&["fc_remote_port"], &[], Content::Elements(&[One(&RPORT), One(&WWPN)]));

static SCSI: Rule = capability(
    &["scsi"],
    &[],
    Content::Elements(&[One(&HOST), One(&BUS), One(&TARGET), One(&LUN), Optional(&SCSI_TYPE)]),
);

static STORAGE: Rule = capability(
    &["storage"],
    &[],
    Content::Elements(&[
        One(&BLOCK),
        Optional(&STORAGE_BUS),
        Optional(&DRIVE_TYPE),
        Optional(&MODEL),
        Optional(&VENDOR),
        Optional(&SERIAL),
        Either(&[One(&REMOVABLE)], &[One(&SIZE), Together(&[One(&BLOCK_SIZE), One(&NUM_BLOCKS)])]),
        Optional(&HOTPLUGGABLE),
    ]),
);

static REMOVABLE: Rule = capability(
    &["removable"],
    &[],
    Content::Elements(&[
        One(&MEDIA_AVAILABLE),
        One(&MEDIA_SIZE),
        Optional(&MEDIA_LABEL),
        Together(&[One(&BLOCK_SIZE), One(&NUM_BLOCKS)]),
    ]),
);

static HOTPLUGGABLE: Rule = capability(&["hotpluggable"], &[], Content::Empty);

static DRM: Rule = capability(&["drm"], &[], Content::Elements(&[One(&DRM_TYPE)]));

static MDEV: Rule = capability(
    &["mdev"],
    &[],
    Content::Elements(&[Interleave(&[
        One(&MDEV_TYPE),
        Optional(&MDEV_GROUP),
        Optional(&UUID),
        Optional(&PARENT_ADDR),
        Many(&ATTR),
    ])]),
);

static MDEV_TYPE: Rule = Rule {
    name: "type",
    choice: Choice::Any,
    attributes: &[required("id", Value::Any)],
    content: Content::Empty,
};

static MDEV_GROUP: Rule = Rule {
    name: "iommuGroup",
    choice: Choice::Any,
    attributes: &[required("number", Value::Unsigned)],
    content: Content::Empty,
};

static ATTR: Rule = Rule {
    name: "attr",
    choice: Choice::Any,
    attributes: &[required("name", Value::Any), required("value", Value::Any)],
    content: Content::Empty,
};

static MDEV_TYPES: Rule = capability(&["mdev_types"], &[], Content::Elements(&[Some(&OFFERED_TYPE)]));

static OFFERED_TYPE: Rule = Rule {
    name: "type",
    choice: Choice::Any,
    attributes: &[required("id", Value::Any)],
    content: Content::Elements(&[Optional(&NAME), One(&DEVICE_API), One(&AVAILABLE_INSTANCES)]),
};

const CCW_ADDRESS: Pattern = Interleave(&[One(&CSSID), One(&SSID), One(&DEVNO)]);

static CCW: Rule =
    capability(&["ccw"], &[], Content::Elements(&[Optional(&STATE), CCW_ADDRESS, Optional(&GROUP_MEMBER)]));

static GROUP_MEMBER: Rule = capability(&["ccwgroup_member"], &[], Content::Elements(&[One(&GROUP_DEVICE)]));

static CCWGROUP: Rule = capability(
    &["ccwgroup"],
    &[],
    Content::Elements(&[Optional(&STATE), CCW_ADDRESS, Optional(&MEMBERS), One(&QETH)]),
);

static MEMBERS: Rule = Rule {
    name: "members",
    choice: Choice::Any,
    attributes: &[],
    content: Content::Elements(&[Some(&MEMBER)]),
};

static MEMBER: Rule = Rule {
    name: "ccw_device",
    choice: Choice::Any,
    attributes: &[required("ref", Value::Any)],
    content: Content::Text(Value::Any),
};

static QETH: Rule = capability(
    &["qeth_generic", "qeth_layer2", "qeth_layer3"],
    &[],
    Content::Elements(&[Interleave(&[One(&CARD_TYPE), One(&CHPID)])]),
);

static CSS: Rule = capability(
    &["css"],
    &[],
    Content::Elements(&[Interleave(&[
        One(&CSSID),
        One(&SSID),
        One(&DEVNO),
        Optional(&CHANNEL_DEVICE),
        Optional(&MDEV_TYPES),
    ])]),
);

static CHANNEL_DEVICE: Rule = Rule {
    name: "channel_dev_addr",
    choice: Choice::Any,
    attributes: &[],
    content: Content::Elements(&[CCW_ADDRESS]),
};

static VDPA: Rule = capability(&["vdpa"], &[], Content::Elements(&[One(&CHARDEV)]));
static AP_CARD: Rule = capability(&["ap_card"], &[], Content::Elements(&[One(&AP_ADAPTER)]));
static AP_QUEUE: Rule =
    capability(&["ap_queue"], &[], Content::Elements(&[One(&AP_ADAPTER), One(&AP_DOMAIN)]));
static AP_MATRIX: Rule = capability(&["ap_matrix"], &[], Content::Elements(&[Optional(&MDEV_TYPES)]));
