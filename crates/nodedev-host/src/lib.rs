//! Discovery of this machine's node devices.
