//! libvirt node device XML to and from the nodedev model.
