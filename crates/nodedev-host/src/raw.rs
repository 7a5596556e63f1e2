//! A host's devices before anything is made of them, for what records them.

pub use crate::enumerate::{Found, enumerate};
pub use crate::host_info::files as machine_files;
pub use crate::kernel::{Issues, KernelDevice};
