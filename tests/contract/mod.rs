//! The committed contracts agree with each other.

mod wit;
