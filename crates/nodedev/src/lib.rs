//! Every device of a virtualization host.
