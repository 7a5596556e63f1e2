//! The operating system below nodedev: injected root, sysfs attributes, udev database, ethtool.
