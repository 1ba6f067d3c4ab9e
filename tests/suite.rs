//! The one integration test binary of this package: a module per concern.

mod contract;
