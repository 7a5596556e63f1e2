//! For tests: the calls that a source in a test has no answer to.

/// Methods of [`LibvirtCalls`](crate::LibvirtCalls) that refuse, by their names: `refused_calls!(xml, parent);` in an `impl`.
#[macro_export]
macro_rules! refused_calls {
    ($($name:ident),* $(,)?) => { $($crate::refused_calls!(@ $name);)* };
    (@ count) => { $crate::refused_calls!(= count(_flags: $crate::ListFlags) -> usize); };
    (@ list_names) => {
        $crate::refused_calls!(= list_names(_flags: $crate::ListFlags) -> Vec<$crate::DeviceName>);
    };
    (@ count_names) => {
        $crate::refused_calls!(= count_names(_capability: Option<&str>, _flags: u32) -> usize);
    };
    (@ names) => {
        $crate::refused_calls!(
            = names(_capability: Option<&str>, _most: Option<usize>, _flags: u32) -> Vec<$crate::DeviceName>
        );
    };
    (@ lookup) => { $crate::refused_calls!(= lookup(_name: &str) -> $crate::DeviceName); };
    (@ lookup_scsi_host_by_wwn) => {
        $crate::refused_calls!(
            = lookup_scsi_host_by_wwn(_wwnn: &str, _wwpn: &str, _flags: u32) -> $crate::DeviceName
        );
    };
    (@ xml) => { $crate::refused_calls!(= xml(_name: &str, _flags: $crate::XmlFlags) -> Vec<u8>); };
    (@ parent) => { $crate::refused_calls!(= parent(_name: &str) -> Option<$crate::DeviceName>); };
    (@ count_capabilities) => { $crate::refused_calls!(= count_capabilities(_name: &str) -> usize); };
    (@ capabilities) => {
        $crate::refused_calls!(
            = capabilities(_name: &str, _most: Option<usize>) -> Vec<::std::borrow::Cow<'static, str>>
        );
    };
    (@ is_active) => { $crate::refused_calls!(= is_active(_name: &str) -> bool); };
    (@ is_persistent) => { $crate::refused_calls!(= is_persistent(_name: &str) -> bool); };
    (@ autostart) => { $crate::refused_calls!(= autostart(_name: &str) -> bool); };
    (@ create_xml) => {
        $crate::refused_calls!(
            = create_xml(_xml: &[u8], _flags: $crate::CreateFlags) -> $crate::DeviceName
        );
    };
    (@ define_xml) => {
        $crate::refused_calls!(
            = define_xml(_xml: &[u8], _flags: $crate::CreateFlags) -> $crate::DeviceName
        );
    };
    (@ destroy) => { $crate::refused_calls!(= destroy(_name: &str) -> ()); };
    (@ undefine) => { $crate::refused_calls!(= undefine(_name: &str, _flags: u32) -> ()); };
    (@ create) => { $crate::refused_calls!(= create(_name: &str, _flags: u32) -> ()); };
    (@ update) => {
        $crate::refused_calls!(= update(_name: &str, _xml: &[u8], _flags: $crate::UpdateFlags) -> ());
    };
    (@ set_autostart) => { $crate::refused_calls!(= set_autostart(_name: &str, _autostart: bool) -> ()); };
    (@ detach) => { $crate::refused_calls!(= detach(_name: &str) -> ()); };
    (@ detach_flags) => {
        $crate::refused_calls!(= detach_flags(_name: &str, _kernel_driver: Option<&str>, _flags: u32) -> ());
    };
    (@ reattach) => { $crate::refused_calls!(= reattach(_name: &str) -> ()); };
    (@ reset) => { $crate::refused_calls!(= reset(_name: &str) -> ()); };
    (@ events) => { $crate::refused_calls!(= events() -> $crate::Watch); };
    (@ driver_type) => { $crate::refused_calls!(= driver_type() -> $crate::Text); };
    (@ version) => { $crate::refused_calls!(= version() -> u64); };
    (@ library_version) => { $crate::refused_calls!(= library_version() -> u64); };
    (@ host_name) => { $crate::refused_calls!(= host_name() -> $crate::Text); };
    (@ host_capabilities) => { $crate::refused_calls!(= host_capabilities() -> $crate::Text); };
    (@ max_vcpus) => { $crate::refused_calls!(= max_vcpus(_kind: Option<&str>) -> i32); };
    (@ sysinfo) => { $crate::refused_calls!(= sysinfo(_flags: u32) -> $crate::Text); };
    (@ host_info) => { $crate::refused_calls!(= host_info() -> $crate::HostInfo); };
    (= $name:ident($($argument:ident: $type:ty),*) -> $result:ty) => {
        fn $name(&self, $($argument: $type),*) -> $crate::Result<$result> {
            Err($crate::Error::no_support(stringify!($name)))
        }
    };
}
