//! Every file format the daemon reads or writes.
